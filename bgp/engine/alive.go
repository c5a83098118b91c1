package engine

import (
	"errors"
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

// A peer that sends KEEPALIVEs and reads nothing, or next to nothing, would have all that is for it wait in this
// process, for ever. So a session ends in which not all is acknowledged that was under way so long ago, nor sendHoldRead
// octets of it, which are 700 a second: less than any line that carries BGP has (RFC 9687, which would have 8 minutes;
// behind a tunnel there is no network between that could be the cause). It does not depend on the hold time, which the
// peer may have set to zero.
const (
	sendHoldTime        = 90 * time.Second
	sendHoldRead        = 64 << 10
	sendHoldExpired     = 8 // the code of a NOTIFICATION (RFC 9687 section 4.2)
	sendHoldExpiredText = "the peer has read next to nothing for 1m30s (send hold timer expired)"
)

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
		table := s.rib.known.Len()
		told := s.tellUnheardLocked(time.Now())
		s.mu.Unlock()
		if told {
			s.notify()
		}
		for _, c := range conns {
			if do := c.checkAlive(time.Now(), table); do != nil {
				s.work.Go(do)
			}
			c.refreshAgain(time.Now())
		}
	}
}

// checkAlive returns what has the peer hear something where it may miss that soon, or ends the session if the peer is
// not alive, or too far behind (behind.go), or nil. table is how many prefixes there are. What it returns may block, as a
// write of GoBGP's may be under way to a peer that does not read.
func (c *peerConn) checkAlive(now time.Time, table int) (do func()) {
	tcp := c.tcp.Load()
	c.mu.Lock()
	hold, heard := c.judge.HoldTime(), c.heard
	over := !c.judge.Established() || c.ended != nil || c.parted
	unread := len(c.out) > 0
	c.mu.Unlock()
	if tcp == nil || over || c.closed.Load() || c.refused.Load() {
		return nil
	}
	received, unsent, acked, err := waiting(tcp)
	if err != nil {
		return nil // it is closed: the reader learns that too
	}
	// With a hold time of zero neither end sends KEEPALIVEs, nor expects any (RFC 4271 section 4.4).
	if unread || received > 0 {
		c.hear(tcp, now)
	} else if hold > 0 && now.Sub(heard) > hold {
		return c.timeout(gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED, silentText(hold))
	}
	if acked >= c.due || acked-c.acked >= sendHoldRead || c.took.IsZero() {
		c.acked, c.due, c.took = acked, acked+uint64(unsent), now
	}
	if now.Sub(c.took) > sendHoldTime {
		return c.timeout(sendHoldExpired, sendHoldExpiredText)
	}
	if queued, is := c.isBehind(unsent, table); is {
		return c.fallBehind(queued)
	}
	if hold == 0 {
		return nil
	}
	// A third of the hold time is GoBGP's, and it may be a little late. If something is under way, the peer hears that.
	if c.silent(now) <= min(hold/3+time.Second, hold*2/3) || unsent > 0 {
		return nil
	}
	return func() { c.say(tcp) }
}

// say writes a KEEPALIVE beside GoBGP, unless one is being written. It may block, as checkAlive's may.
func (c *peerConn) say(tcp *net.TCPConn) {
	if !c.speaking.CompareAndSwap(false, true) {
		return
	}
	defer c.speaking.Store(false)
	if _, err := tcp.Write(keepaliveMessage); err == nil {
		c.speak()
	}
}

func silentText(hold time.Duration) string {
	return fmt.Sprintf("nothing was heard from the peer for %d s (hold timer expired)", hold/time.Second)
}

// timeout returns what ends the session because a timer has expired.
func (c *peerConn) timeout(code uint8, text string) func() {
	return func() { c.refuse(&judge.Notification{Code: code, Text: text}, observation{}) }
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
func (c *peerConn) silent(now time.Time) time.Duration {
	return now.Sub(start) - time.Duration(c.spoke.Load())
}

// waiting returns how many bytes have come in that nobody has read, how many of those written the peer has not
// acknowledged (tcp(7), SIOCINQ and SIOCOUTQ), and how many it has acknowledged in all.
func waiting(tcp *net.TCPConn) (received, unsent int, acked uint64, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, 0, 0, err
	}
	var errIn, errOut, errInfo error
	err = raw.Control(func(fd uintptr) {
		received, errIn = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		unsent, errOut = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		var info *unix.TCPInfo
		if info, errInfo = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); errInfo == nil {
			acked = info.Bytes_acked
		}
	})
	return received, unsent, acked, errors.Join(err, errIn, errOut, errInfo)
}
