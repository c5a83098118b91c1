package bgp

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// GoBGP first dials 1.5 to 2 s after it has started to. Nothing keeps the two
// ends of a tunnel from talking sooner, so each tries within that time, and
// hands the connection to GoBGP as if it had been accepted: the end with the
// lower address in the first second, the other one after it. That also keeps
// GoBGP from dialling at both ends at once, which it does not always get out of
// where the round trip takes long (see watchOpen).
const (
	earlyInterval = 100 * time.Millisecond
	earlyTime     = time.Second
	quickDials    = 3 // of one interval each; a further one may take the time that is left
	lateDials     = 4 // of the other end
)

// dialEarly tries to connect to n until it has, or GoBGP is about to. It runs
// each time that n's session becomes active.
func (s *Speaker) dialEarly(n *neighbor) {
	end, dials := time.Now().Add(earlyTime), int(earlyTime/earlyInterval)
	if n.PeerAddr.Less(n.LocalAddr) {
		dials = lateDials
		if !pause(n.ctx, earlyTime) {
			return
		}
	}
	tick := time.NewTicker(earlyInterval)
	defer tick.Stop()
	for i := range dials {
		if !s.wantsConnection(n) {
			return
		}
		timeout := earlyInterval
		if i >= quickDials {
			timeout = max(timeout, time.Until(end))
		}
		if conn, err := s.dial(n, timeout); err == nil {
			if s.wantsConnection(n) {
				s.handOver(n.ctx, n, conn)
			} else {
				conn.Close()
			}
			return
		}
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
}

func (s *Speaker) dial(n *neighbor, timeout time.Duration) (*net.TCPConn, error) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(n.LocalAddr, 0)),
		Timeout:   timeout,
		KeepAlive: -1,
		Control:   socketControl(n.LocalAddr, n.Interface),
	}
	conn, err := d.DialContext(n.ctx, "tcp", netip.AddrPortFrom(n.PeerAddr, s.port).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// wantsConnection reports whether n is still without a connection.
func (s *Speaker) wantsConnection(n *neighbor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.session.state == stateActive && !n.session.waiting && n.ctx.Err() == nil
}

// handOver gives GoBGP a connection with n.
func (s *Speaker) handOver(ctx context.Context, n *neighbor, conn *net.TCPConn) {
	select {
	case s.accept <- s.tap(n, conn):
	case <-ctx.Done():
		conn.Close()
	}
}
