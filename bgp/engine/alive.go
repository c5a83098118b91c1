package engine

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp/judge"
)

// The hold timer of an established session (RFC 4271 sections 4.2 and 4.4) is Warren's. GoBGP
// starts its own again when it has taken a message, and says nothing itself while it puts
// together what a large table makes, which takes it longer than the hold time where processors are few. So
// the timer looks at the socket, not at GoBGP: a peer whose bytes wait to be read is alive. And
// where GoBGP has written nothing for too long, and nothing of it is under way, a KEEPALIVE is
// written in its place. GoBGP's timer is taken out (tools/amend).

// aliveInterval is how often both are looked at. The shortest hold time is 3 s.
const aliveInterval = 500 * time.Millisecond

// watchAlive does that for all sessions until the speaker stops.
func (s *Speaker) watchAlive() {
	var conns []*peerConn
	for pause(s.ctx, aliveInterval) {
		conns = conns[:0]
		s.mu.Lock()
		for _, n := range s.neighbors {
			if c := n.session.conn; c != nil {
				conns = append(conns, c)
			}
		}
		s.mu.Unlock()
		for _, c := range conns {
			if silent := c.checkAlive(time.Now()); silent != nil {
				s.work.Go(silent) // a peer that does not read holds it up
			}
		}
	}
}

// checkAlive has the peer hear something where it may miss that soon, and returns what ends the session if nothing
// was heard for the hold time.
func (c *peerConn) checkAlive(now time.Time) (silent func()) {
	tcp := c.tcp.Load()
	c.mu.Lock()
	hold, heard := c.judge.HoldTime(), c.heard
	over := !c.judge.Established() || c.ended != nil || c.closed || c.parted || c.refused
	unread := len(c.out) > 0
	c.mu.Unlock()
	if tcp == nil || over || hold == 0 {
		return nil
	}
	received, unsent, err := waiting(tcp)
	if err != nil {
		return nil // it is closed: the reader learns that too
	}
	if unread || received > 0 {
		c.hear(tcp, now)
	} else if now.Sub(heard) > hold {
		return func() {
			c.refuse(&judge.Notification{Code: gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED, Text: silentText(hold)}, observation{})
		}
	}
	// A third of the hold time is GoBGP's, and it may be a little late.
	if c.silent() > min(hold/3+time.Second, hold*2/3) && unsent == 0 {
		// Nothing is under way, so that these few bytes do not block.
		if _, err := tcp.Write(keepaliveMessage); err == nil {
			c.speak()
		}
	}
	return nil
}

func silentText(hold time.Duration) string {
	return fmt.Sprintf("nothing was heard from the peer for %d s (hold timer expired)", hold/time.Second)
}

// hear notes that the peer was heard on a connection, if that is still the one.
func (c *peerConn) hear(tcp *net.TCPConn, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tcp.Load() == tcp {
		c.heard = at
	}
}

// start is what times in nanoseconds count from.
var start = time.Now()

// speak notes that the peer was sent something. It takes no lock: for each message it would wait for the judge.
func (c *peerConn) speak() { c.spoke.Store(int64(time.Since(start))) }

// silent is for how long it was not.
func (c *peerConn) silent() time.Duration { return time.Since(start) - time.Duration(c.spoke.Load()) }

// waiting returns how many bytes have come in that nobody has read, and how many of those written the peer
// has not acknowledged (tcp(7), SIOCINQ and SIOCOUTQ).
func waiting(tcp *net.TCPConn) (received, unsent int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if received, failed = unix.IoctlGetInt(int(fd), unix.SIOCINQ); failed == nil {
			unsent, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		}
	})
	if err == nil {
		err = failed
	}
	return received, unsent, err
}
