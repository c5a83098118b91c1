package bgp

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// GoBGP first dials 1.5 to 2 s after it has started to. Nothing keeps the two
// ends of a tunnel from talking sooner, so each tries within that time, a few
// times, and hands the connection to GoBGP as if it had been accepted: the end
// with the lower address at once, the other one when the first has finished, so
// that these do not collide. If nothing comes of it, both dial by GoBGP's
// timers, and it resolves collisions (RFC 4271 6.8).
const (
	earlyDials    = 6
	earlyInterval = 100 * time.Millisecond
)

// dialEarly tries to connect to n until it has, or GoBGP is about to. It runs
// each time that n's session becomes active.
func (s *Speaker) dialEarly(n *neighbor) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(n.LocalAddr, 0)),
		Timeout:   earlyInterval,
		KeepAlive: -1,
		Control:   socketControl(n.LocalAddr, n.Interface),
	}
	if n.PeerAddr.Less(n.LocalAddr) && !pause(n.ctx, earlyDials*earlyInterval) {
		return
	}
	tick := time.NewTicker(earlyInterval)
	defer tick.Stop()
	for range earlyDials {
		if !s.wantsConnection(n) {
			return
		}
		conn, err := d.DialContext(n.ctx, "tcp", netip.AddrPortFrom(n.PeerAddr, s.port).String())
		if err == nil {
			s.handOver(n.ctx, n, conn.(*net.TCPConn))
			return
		}
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
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
