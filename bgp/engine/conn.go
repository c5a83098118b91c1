package engine

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"warren/bgp/heap"
	"warren/bgp/judge"
)

// A peerConn is a connection with a peer, as GoBGP reads and writes it. What it
// reads was judged: see package judge. The same goroutine of GoBGP's that asks
// for bytes reads them from the socket and judges them, so that a connection
// costs no goroutine and a slow GoBGP slows the peer down.
//
// The speaker may replace the policy at any time. What that gives GoBGP to read
// waits in out, and the reader is woken by a read deadline that has passed.
//
// What GoBGP takes for one connection may be several, one after the other, with a
// time without any in between (lost.go).
type peerConn struct {
	dialed        bool // this end made the connection
	external      bool // the peer is in another AS
	local, remote net.Addr
	see           func(observation)
	lost          func(*peerConn) bool // the connection of an established session has failed; whether GoBGP's goes on
	// GoBGP sends an End-of-RIB marker, behind what a ROUTE-REFRESH asked for or not; whether it goes out.
	endOfRIB func(c *peerConn, f family, refresh bool) bool
	gone     func(*peerConn) // called once, when GoBGP closes it
	moved    func(*peerConn) // there is something in moves
	churn    *churn          // of the neighbor
	paced    func()          // the peer is read more slowly

	tcp      atomic.Pointer[net.TCPConn] // nil: it was lost, and another one is awaited; mu is held to set it
	buf      []byte                      // only the reader uses it
	wake     chan struct{}               // capacity 1: the reader waits for it while there is no connection
	spoke    atomic.Int64                // when the peer was sent something last, in nanoseconds; see alive.go
	speaking atomic.Bool                 // a KEEPALIVE is being written beside GoBGP
	raise    atomic.Pointer[outgoing]    // what is made of LOCAL_PREF of what GoBGP sends; nil: nothing

	// Both are set once, with mu held: this end's NOTIFICATION ends the session, and GoBGP has closed it.
	refused, closed atomic.Bool

	// Of watchAlive's goroutine, see checkAlive: when the peer was last seen to take what it is sent, how much it had
	// acknowledged by then, and how much that was with what was under way.
	took       time.Time
	acked, due uint64

	// Likewise, see isBehind: how many prefixes there were at most, and at how many looks in a row nothing waited for the peer.
	most, idle int
	queued     atomic.Pointer[func() int] // see CountQueue

	over    chan struct{} // closed with the last connection, if the peer is awaited; see awaitPeer
	reading sync.Mutex    // held while somebody reads the connection

	moving sync.Mutex // orders calls of onMoved; taken before Speaker.mu

	mu       sync.Mutex // guards what follows
	open     []byte     // this end's OPEN, as GoBGP wrote it; only the writer sets it
	judge    *judge.Session
	out      []byte // judged, not yet read by GoBGP
	base     []byte // where out begins when it is empty; reused while there is much to read
	peak     heap.Peak
	ended    error     // what Read returns once out is empty
	awaits   bool      // see awaitPeer
	heard    time.Time // when the peer sent something last; see alive.go
	up       time.Time // when the session was established, or went on, on this connection; zero: it was not
	parted   bool      // GoBGP has sent the NOTIFICATION that ends the session
	notified bool      // a NOTIFICATION went through, one way or the other
	cut      bool      // GoBGP has the end from endLocked, by a NOTIFICATION that no end has sent
	deadline time.Time
	marked   [2]bool // by family: GoBGP has sent its End-of-RIB marker, and all before it
	arrived  bool    // see delivered
	moves    []move  // by the judge, in order, which onMoved has not taken yet
	spare    []move  // empty memory for them

	refreshes [2]refresh // by family
}

// A move is a prefix that the judge has handed on, with whatever attributes, or
// withdrawn.
type move struct {
	prefix    netip.Prefix
	announced bool
	withheld  bool // the speaker does not hand it on, see choice.go
}

// note is the judge's Config.Moved. mu is held.
func (c *peerConn) note(p netip.Prefix, announced bool) {
	c.moves = append(c.moves, move{prefix: p, announced: announced})
}

// takeMoves takes all moves. They go back with reuse. moving is held until then.
func (c *peerConn) takeMoves() []move {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.moves
	c.moves, c.spare = c.spare, nil
	return all
}

// reuse takes back the memory of moves, for those to come, if it is not more than what is read
// at once may need.
func (c *peerConn) reuse(all []move) {
	if cap(all) > 2*mostMoves {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare = all[:0]
}

// mostMoves is how many prefixes of 3 octets and their lengths are read at once.
const mostMoves = largeRead / 4

// An observation is what the speaker has to know of a connection.
type observation struct {
	open         *judge.Open         // the peer's OPEN has come
	notification []byte              // the body of a NOTIFICATION that the peer sent
	refused      *judge.Notification // the judge ends the session
	malformed    string              // the last repaired, withdrawn or discarded thing in words
	looped       string              // the last route that has been here before in words
	shrunk       bool                // most of a large table was withdrawn
	endOfRIB     bool                // an End-of-RIB marker has come
	marked       bool                // one was sent
}

func (o observation) nothing() bool {
	return o.open == nil && o.notification == nil && o.refused == nil && o.malformed == "" && o.looped == "" && !o.shrunk && !o.endOfRIB && !o.marked
}

// Sizes of the buffer between the socket and the judge: small while there is
// little to read, so that an idle session costs little.
const (
	smallRead = 4 << 10
	largeRead = 64 << 10
)

// notifyTimeout bounds how long a NOTIFICATION of this end's may take to be
// written, and how long the peer has to read it.
const notifyTimeout = time.Second

// Read implements net.Conn.
func (c *peerConn) Read(b []byte) (int, error) {
	for {
		if n, err, ok := c.take(b); ok {
			return n, err
		}
		if cap(c.buf) == 0 {
			c.buf = make([]byte, smallRead)
		}
		tcp := c.tcp.Load()
		if tcp == nil {
			c.await()
			continue
		}
		most, rested := c.rest()
		if rested {
			continue
		}
		n, err := c.readFrom(tcp, most)
		switch {
		case n > 0:
			c.feed(c.buf[:n])
			c.resize(n)
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.rearm()
		case err != nil:
			if !c.fail() {
				return 0, err
			}
		}
	}
}

// readFrom reads so many bytes at most from the connection, unless it is closed: then what comes is closing's.
func (c *peerConn) readFrom(tcp *net.TCPConn, most int) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return tcp.Read(c.buf[:min(len(c.buf), most)])
}

// take returns what Read can return without the socket.
func (c *peerConn) take(b []byte) (n int, err error, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return 0, os.ErrDeadlineExceeded, true
	case len(c.out) > 0:
		n = copy(b, c.out)
		c.out = c.out[n:]
		return n, nil, true
	case c.ended != nil:
		return 0, c.ended, true
	default:
		return 0, nil, false
	}
}

// rearm gives the socket GoBGP's deadline again, after one of wake's.
func (c *peerConn) rearm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tcp := c.tcp.Load(); tcp != nil && !c.closed.Load() {
		tcp.SetReadDeadline(c.deadline)
	}
}

// wakeLocked has the reader look at what there is to read without the socket.
func (c *peerConn) wakeLocked() {
	if tcp := c.tcp.Load(); tcp != nil && !c.closed.Load() {
		tcp.SetReadDeadline(time.Unix(1, 0))
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// resize adapts the buffer to how much comes at once.
func (c *peerConn) resize(n int) {
	switch {
	case n == len(c.buf) && n < largeRead:
		c.buf = make([]byte, largeRead)
	case n < smallRead && len(c.buf) > smallRead:
		c.buf = make([]byte, smallRead)
		c.mu.Lock()
		c.base, c.spare = nil, nil
		c.mu.Unlock()
	}
}

// feed judges what the peer sent.
func (c *peerConn) feed(b []byte) {
	c.mu.Lock()
	c.heard = time.Now()
	_, knew := c.judge.PeerOpen()
	if len(c.out) == 0 {
		c.out = c.base
	}
	before, ended, at, already := c.judge.Counts(), c.judge.EndOfRIB(), len(c.out), len(c.moves)
	var err error
	c.out, err = c.judge.FromPeer(c.out, b)
	if c.up.IsZero() && c.judge.Established() {
		c.up = c.heard
	}
	c.noteRefreshesLocked(c.heard)
	if at == 0 {
		c.base = c.out[:0]
	}
	after := c.judge.Counts()
	seen := observation{shrunk: c.peak.Shrunk(received(after))}
	if open, ok := c.judge.PeerOpen(); ok && !knew {
		seen.open = &open
	}
	seen.notification = notificationIn(c.out[at:])
	c.notified = c.notified || seen.notification != nil
	seen.endOfRIB = c.judge.EndOfRIB() != ended
	if after.Repaired != before.Repaired || after.Withdrawn != before.Withdrawn || after.Discarded != before.Discarded {
		seen.malformed = after.Last
	}
	if after.Looped != before.Looped {
		seen.looped = c.judge.LastLooped()
	}
	if n := len(c.moves) - already; n > 0 {
		c.churn.note(c.heard, accepted(after), n-max(0, accepted(after)-accepted(before)))
	}
	moved := len(c.moves) > 0
	if !moved {
		c.out = c.judge.Markers(c.out)
	}
	c.mu.Unlock()
	if moved {
		c.moved(c) // before GoBGP reads it
	}
	switch {
	case err != nil:
		c.refuse(err, seen)
	case !seen.nothing():
		c.see(seen)
	}
}

func received(c judge.Counts) (n int) {
	for _, f := range c.Families {
		n += f.Received
	}
	return n
}

func accepted(c judge.Counts) (n int) {
	for _, f := range c.Families {
		n += f.Accepted
	}
	return n
}

// refuse ends the session for a reason that is a judge.Notification: the peer gets it, then whoever sees
// what happens learns of it, then GoBGP has the end of the stream, on which it closes the connection.
func (c *peerConn) refuse(why error, seen observation) {
	c.mu.Lock()
	first := c.ended == nil && !c.refused.Load()
	c.refused.Store(true)
	tcp := c.tcp.Load()
	c.mu.Unlock()
	var n *judge.Notification
	if first && errors.As(why, &n) {
		seen.refused = n
		if tcp != nil {
			// A peer that does not read may hold up a write of GoBGP's; the deadline
			// ends that too.
			tcp.SetWriteDeadline(time.Now().Add(notifyTimeout))
			_, _ = tcp.Write(n.Bytes()) // if it cannot be said, the connection still ends
			tcp.CloseWrite()
		}
	}
	if !seen.nothing() {
		c.see(seen)
	}
	c.giveUp()
}

// setPolicy replaces the policy. affected limits the look to the prefixes for
// which it is true; nil means all.
func (c *peerConn) setPolicy(p judge.Policy, affected func(netip.Prefix) bool) {
	c.mu.Lock()
	var err error
	c.out, err = c.judge.SetPolicy(c.out, p, affected)
	if len(c.out) > 0 {
		c.wakeLocked()
	}
	c.mu.Unlock()
	c.moved(c)
	if err != nil {
		c.refuse(err, observation{})
	}
}

func (c *peerConn) counts() judge.Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judge.Counts()
}

// accepts reports whether the peer announces p now and GoBGP is given it.
func (c *peerConn) accepts(p netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended == nil && c.judge.Accepted(p)
}

// attributes are those of the peer's route to p, and false if accepts is.
func (c *peerConn) attributes(p netip.Prefix) (judge.Attributes, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return judge.Attributes{}, false
	}
	return c.judge.Attributes(p)
}

// SetReadDeadline implements net.Conn.
func (c *peerConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	tcp := c.tcp.Load()
	if tcp == nil {
		c.wakeLocked()
	}
	if tcp == nil || c.closed.Load() {
		return nil
	}
	return tcp.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *peerConn) SetWriteDeadline(t time.Time) error {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.SetWriteDeadline(t)
	}
	return nil
}

// LocalAddr implements net.Conn.
func (c *peerConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *peerConn) RemoteAddr() net.Addr { return c.remote }

// SyscallConn implements syscall.Conn, with which GoBGP sets options of the socket
// before the session begins.
func (c *peerConn) SyscallConn() (syscall.RawConn, error) {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.SyscallConn()
	}
	return nil, net.ErrClosed
}

// SetDeadline implements net.Conn.
func (c *peerConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// awaitPeer has Close wait, beside, for the peer to have read what it was sent and to close the connection.
func (c *peerConn) awaitPeer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaits = !c.closed.Load() && c.tcp.Load() != nil
}

// awaitClosed waits for the end of that.
func (c *peerConn) awaitClosed() {
	c.mu.Lock()
	waits := c.awaits
	c.mu.Unlock()
	if !waits {
		return
	}
	select {
	case <-c.over:
	case <-time.After(2 * notifyTimeout): // GoBGP has not closed it
	}
}

// Close implements net.Conn. After a NOTIFICATION of this end's it reads on for a
// moment: a connection that is closed with bytes unread is reset, the peer would
// lose the NOTIFICATION, and keep the routes of a router that it takes for one
// that restarts.
func (c *peerConn) Close() error {
	c.mu.Lock()
	again, linger := c.closed.Load(), c.refused.Load() || c.parted || c.awaits
	c.closed.Store(true)
	c.out = nil
	if c.ended == nil {
		c.ended = net.ErrClosed
	}
	tcp := c.tcp.Load()
	if tcp == nil {
		c.wakeLocked()
	}
	c.mu.Unlock()
	if again {
		return nil
	}
	c.gone(c)
	switch {
	case tcp == nil:
		return nil
	case !linger:
		return tcp.Close()
	}
	go c.closing(tcp, notifyTimeout)
	return nil
}

// closing closes a connection when the peer has done so, but within a time. GoBGP does not wait for that: as long as
// it reads it keeps the session, and its routes beside those of the next one.
func (c *peerConn) closing(tcp *net.TCPConn, within time.Duration) {
	defer close(c.over)
	tcp.CloseWrite()
	tcp.SetReadDeadline(time.Unix(1, 0))
	c.reading.Lock() // GoBGP's reader has left it, and does not come back
	tcp.SetReadDeadline(time.Now().Add(within))
	c.reading.Unlock()
	_, _ = io.Copy(io.Discard, tcp)
	tcp.Close()
}

// notificationIn returns the body of the NOTIFICATION among whole messages, or
// nil.
func notificationIn(messages []byte) []byte {
	const header, lengthAt, typeAt, notification = 19, 16, 18, 3
	for len(messages) >= header {
		length := int(messages[lengthAt])<<8 | int(messages[lengthAt+1])
		if length < header || length > len(messages) {
			return nil
		}
		if messages[typeAt] == notification {
			return append([]byte{}, messages[header:length]...)
		}
		messages = messages[length:]
	}
	return nil
}
