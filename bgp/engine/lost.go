package engine

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp/judge"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// Graceful restart (RFC 4724) as the end that stays, as far as the connection is
// concerned. GoBGP could do it too, but forgets the routes with the neighbor, which
// is deleted and added again to avoid its pause (restart.go); it does not look at the
// bit F; and it keeps stale routes for ever where no End-of-RIB marker comes. So
// GoBGP does not see it: for GoBGP the session goes on while the connection under it
// is replaced. The judge has all routes of the peer and knows which are stale.
//
// While there is no connection, what GoBGP sends is discarded, and the next connection
// gets everything once more. That a peer is silent must not end GoBGP's session
// meanwhile: a GoBGP that has a hold timer of its own (alive.go) reads a KEEPALIVE now and then.
//
// GoBGP is told that a session is over by a NOTIFICATION rather than by the end of the
// connection, on which it would begin a graceful restart of its own.

// ceased is that NOTIFICATION: Cease without a reason.
var ceased = (&judge.Notification{Code: gobgp.BGP_ERROR_CEASE}).Bytes()

// await waits until there is something to read, another connection, or a read
// deadline that has passed.
func (c *peerConn) await() {
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	var passed <-chan time.Time
	if !deadline.IsZero() {
		passed = time.After(time.Until(deadline))
	}
	select {
	case <-c.wake:
	case <-passed:
	}
}

// fail is called by the reader when the connection has failed. It reports whether
// GoBGP has something to read nevertheless, now or later.
func (c *peerConn) fail() bool {
	if c.lost(c) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.judge.Established() {
		return false
	}
	c.endLocked()
	return true
}

// endLocked has GoBGP take the session for ended when it has read what there is.
func (c *peerConn) endLocked() {
	if c.ended != nil {
		return
	}
	if c.judge.Established() && !c.notified {
		c.out = append(c.out, ceased...)
		c.cut = true
	}
	c.ended = io.EOF
	c.wakeLocked()
}

// giveUp ends a session whose connection was lost.
func (c *peerConn) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked()
}

// wasCut reports whether GoBGP has the session's end from endLocked.
func (c *peerConn) wasCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// hangUp closes the connection without a NOTIFICATION, as if it had failed.
func (c *peerConn) hangUp() {
	if tcp := c.tcp.Load(); tcp != nil {
		tcp.Close()
	}
}

// retains reports whether routes are to be kept if the connection fails now.
func (c *peerConn) retains() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, ok := c.retainedLocked()
	return ok
}

func (c *peerConn) retainedLocked() (families [2]bool, long time.Duration, ok bool) {
	families, long = c.judge.Retained()
	return families, long, families != [2]bool{} && c.ended == nil && !c.closed.Load() && !c.refused.Load() && !c.notified
}

// detach takes note that the connection has failed, and keeps what is to be kept. It
// returns for how long the peer asks that, and false if there is nothing to be kept.
func (c *peerConn) detach() (long time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, long, ok = c.retainedLocked()
	tcp := c.tcp.Load()
	if tcp == nil || !ok {
		return 0, false
	}
	tcp.Close()
	c.tcp.Store(nil)
	c.out = c.judge.Retain(c.out)
	return long, true
}

// attach goes on with a connection on which next has done the handshake. It returns
// false if the session has ended meanwhile.
func (c *peerConn) attach(tcp *net.TCPConn, next *judge.Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tcp.Load() != nil || c.ended != nil || c.closed.Load() {
		return false
	}
	c.out = next.Resume(c.out, c.judge)
	c.judge = next
	c.marked, c.arrived, c.refreshes = [2]bool{}, false, [2]refresh{}
	c.tcp.Store(tcp)
	c.heard = time.Now()
	c.up = c.heard
	c.speak()
	c.wakeLocked()
	return true
}

// nudge has GoBGP read a KEEPALIVE if there is no connection.
func (c *peerConn) nudge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tcp.Load() == nil && c.ended == nil {
		c.out = append(c.out, keepaliveMessage...)
		c.wakeLocked()
	}
}

var keepaliveMessage = message19(gobgp.BGP_MSG_KEEPALIVE)

// message19 is a message without a body.
func message19(typ byte) []byte {
	b := make([]byte, gobgp.BGP_HEADER_LENGTH)
	for i := range 16 {
		b[i] = 0xff
	}
	b[17], b[18] = gobgp.BGP_HEADER_LENGTH, typ
	return b
}

// complete reports whether the peer has sent all its End-of-RIB markers.
func (c *peerConn) complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := c.judge.EndOfRIB()
	for f, is := range c.judge.Negotiated() {
		if is && !ended[f] {
			return false
		}
	}
	return true
}

// expire withdraws what is still stale.
func (c *peerConn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.out = c.judge.Expire(c.out)
		c.wakeLocked()
	}
}

// stale counts the stale routes.
func (c *peerConn) stale() (n int) {
	for _, f := range c.counts().Families {
		n += f.Stale
	}
	return n
}

// awaited returns the families whose End-of-RIB markers are to be waited for.
func (c *peerConn) awaited() [2]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judge.Awaited()
}

// Write implements net.Conn. GoBGP writes whole messages, and its OPEN first. It may be in the middle of a table when
// the session ends: what is written behind a NOTIFICATION is not sent, and must not end the connection before the
// peer has read that.
func (c *peerConn) Write(b []byte) (int, error) {
	if n, err, over := c.written(b); over {
		return n, err
	}
	tcp, out := c.tcp.Load(), b
	notification := len(b) > gobgp.BGP_HEADER_LENGTH && b[18] == gobgp.BGP_MSG_NOTIFICATION
	if notification || c.open == nil {
		c.mu.Lock()
		if c.open == nil {
			c.open = append([]byte{}, b...)
			out = c.judge.ToPeer(nil, b)
		}
		c.notified = c.notified || notification
		c.parted = c.parted || notification
		c.mu.Unlock()
	}
	f, marks := endOfRIBIn(b)
	if marks && !c.endOfRIB(c, f, c.tableWritten(f)) {
		return len(b), nil
	}
	if o := c.raise.Load(); o != nil && *o != (outgoing{}) {
		out = withLocalPref(out, *o)
	}
	if c.external {
		out = withoutNonTransitive(out)
	}
	var err error
	if tcp != nil {
		_, err = tcp.Write(out)
		c.speak()
	}
	if marks && tcp != nil && err == nil {
		c.mark(tcp, f)
	}
	if c.refused.Load() && !c.closed.Load() {
		err = nil // the session's end has cut it off
	}
	switch {
	case notification && b[19] == gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED:
		// GoBGP 4.8.0 (fsmHandler.established) begins a graceful restart of its own after its hold
		// timer has expired, where it has one (alive.go), unless the NOTIFICATION could not be sent.
		return 0, errors.Join(err, os.ErrDeadlineExceeded)
	case err != nil && !c.closed.Load() && !notification && c.established():
		// The reader decides what follows. If it was the peer who has ended the connection, what it has said before may be unread, and be
		// the reason: the reader comes to the end by itself.
		if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			tcp.Close()
		}
	case err != nil:
		return 0, err
	}
	return len(b), nil
}

// written is what Write returns where there is nothing to be written any more. GoBGP begins a graceful restart of its
// own when it learns of that before it has the end of the stream.
func (c *peerConn) written(b []byte) (n int, err error, over bool) {
	switch {
	case c.closed.Load():
		return 0, net.ErrClosed, true
	case c.refused.Load():
		return len(b), nil, true
	}
	return 0, nil, false
}

// established reports whether the session was established.
func (c *peerConn) established() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judge.Established()
}

// opened reports whether the peer's OPEN has come.
func (c *peerConn) opened() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.judge.PeerOpen()
	return ok
}

// endOfRIBIn reports whether a message is an End-of-RIB marker, and of which family
// (RFC 4724 section 2).
func endOfRIBIn(m []byte) (f family, ok bool) {
	const shortest, header = 23, gobgp.BGP_HEADER_LENGTH
	if len(m) < shortest || len(m) > shortest+7 || m[18] != gobgp.BGP_MSG_UPDATE || m[header] != 0 || m[header+1] != 0 {
		return 0, false
	}
	if len(m) == shortest {
		return ipv4, true
	}
	attr := m[shortest:]
	if attr[1] != byte(gobgp.BGP_ATTR_TYPE_MP_UNREACH_NLRI) {
		return 0, false
	}
	value := attr[len(attr)-3:]
	return ipv6, len(attr) >= 6 && int(attr[len(attr)-4]) == len(value) && value[1] == gobgp.AFI_IP6
}

// wasCut reports whether GoBGP has the end of n's last session from endLocked.
// Speaker.mu is held.
func (n *neighbor) wasCut() bool {
	if c := n.session.conn; c != nil {
		return c.wasCut()
	}
	return n.session.cut
}
