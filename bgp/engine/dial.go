package engine

import (
	"context"
	"errors"
	"net"
	"time"

	"warren/bgp/judge"
)

// This package makes all connections; GoBGP is passive. So every connection
// goes through a judge, and at most one at a time is being made.
//
// The end with the lower address dials at once, the other one only when nothing
// has come for a while: it may be that the far end never dials. A connection
// that comes in ends an attempt of this end's, so that two only meet where both
// were made within one round trip; collide decides then.
const (
	dialInterval  = 100 * time.Millisecond
	quickDials    = 3  // that last one interval each: the far end's tunnel may have come up just now
	frequentDials = 10 // after which the interval is slowInterval
	slowInterval  = time.Second
	dialTimeout   = 5 * time.Second // of all others, plus patience
	otherEndDials = time.Second     // later than the end with the lower address, plus patience
)

// patience is d, and more where the tunnel's round trip takes long.
func (n *neighbor) patience(d time.Duration) time.Duration { return d + 3*n.RTT }

// startDialLocked has n dialled until it has a connection.
func (s *Speaker) startDialLocked(n *neighbor) {
	if n.session.dialing || n.ctx.Err() != nil {
		return
	}
	n.session.dialing = true
	n.work.Go(func() { s.dialUntilConnected(n) })
}

func (s *Speaker) dialUntilConnected(n *neighbor) {
	if n.PeerAddr.Less(n.LocalAddr) {
		pause(n.ctx, n.patience(otherEndDials))
	}
	for i := 0; s.mayDial(n); i++ {
		interval, timeout := dialInterval, n.patience(dialTimeout)
		if i < quickDials {
			timeout = dialInterval
		}
		if i >= frequentDials {
			interval = slowInterval
		}
		next := time.Now().Add(interval)
		conn, err := s.dial(n, timeout)
		if i >= quickDials {
			s.noteDial(n, err)
		}
		if err == nil {
			s.handOver(n, conn, true)
		}
		pause(n.ctx, time.Until(next))
	}
}

// noteDial takes what an attempt came to. One that a connection of the peer's has ended
// says nothing; a refusal comes from the peer, so that packets get there and back.
func (s *Speaker) noteDial(n *neighbor, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	var timeout net.Error
	s.mu.Lock()
	defer s.mu.Unlock()
	switch silent := errors.As(err, &timeout) && timeout.Timeout(); {
	case !silent:
		n.session.unanswered = time.Time{}
	case n.session.unanswered.IsZero():
		n.session.unanswered = time.Now()
	}
}

// mayDial waits until n may be dialled, and reports whether it is to be. If not,
// the next startDialLocked begins again.
func (s *Speaker) mayDial(n *neighbor) bool {
	for {
		s.mu.Lock()
		held := n.heldFor()
		if held <= 0 && !s.wantsConnectionLocked(n) || n.ctx.Err() != nil {
			n.session.dialing = false
			s.mu.Unlock()
			return false
		}
		s.mu.Unlock()
		if held <= 0 {
			return true
		}
		select {
		case <-time.After(held):
		case <-n.released:
		case <-n.ctx.Done():
		}
	}
}

// dial tries once. A connection that comes in ends the attempt.
func (s *Speaker) dial(n *neighbor, timeout time.Duration) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()
	s.mu.Lock()
	n.session.cancelDial = cancel
	s.mu.Unlock()
	return s.connections.Dial(ctx, &n.Neighbor)
}

// wantsConnectionLocked reports whether n is ready for a connection and has none.
func (s *Speaker) wantsConnectionLocked(n *neighbor) bool {
	return n.readyLocked() && n.session.waiting == 0
}

// handOver gives GoBGP a connection with n, or closes it where n has got another
// one meanwhile.
func (s *Speaker) handOver(n *neighbor, conn *net.TCPConn, dialed bool) {
	s.mu.Lock()
	if !n.readyLocked() || dialed && n.session.waiting > 0 {
		s.mu.Unlock()
		conn.Close()
		return
	}
	c := &peerConn{
		dialed: dialed, external: n.ASN != s.cfg.ASN, local: conn.LocalAddr(), remote: conn.RemoteAddr(), wake: make(chan struct{}, 1), over: make(chan struct{}),
		see:      func(seen observation) { s.onConn(n, seen) },
		lost:     func(c *peerConn) bool { return s.onLost(n, c) },
		endOfRIB: func(c *peerConn, f family, refresh bool) bool { return s.onEndOfRIB(n, c, f, refresh) },
		gone:     func(c *peerConn) { s.onGone(n, c) },
		moved:    func(c *peerConn) { s.onMoved(n, c) },
		churn:    &n.hold.churn,
		paced:    func() { s.notePaced(n) },
	}
	c.tcp.Store(conn)
	raise := n.applied.raise
	c.raise.Store(&raise)
	if n.session.away() {
		resume := s.resumeLocked(n, c)
		s.mu.Unlock()
		n.work.Go(resume)
		return
	}
	c.judge = judge.New(s.judgeConfigLocked(n, c))
	n.toldInside.Store(false)
	n.session.dumping, n.session.ended, n.session.cut = [2]bool{}, [2]bool{}, false
	s.setConnLocked(n, c)
	n.applied.judged = s.judgedWithLocked(n)
	s.mu.Unlock()
	select {
	case s.accept <- c:
	case <-n.ctx.Done():
		c.Close()
	}
}
