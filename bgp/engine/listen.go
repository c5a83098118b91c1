package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp/judge"
)

// A neighbor needs a new connection now and then. Others may connect from its address (collide.go), so what is taken and
// what waits is bounded for each neighbor.
const (
	arrivalsPerSecond = 20
	arrivalBurst      = 20
	mostArriving      = 8

	acceptRetry = 200 * time.Millisecond

	listenInterval = 2 * time.Second // between attempts to have a listener

	readyInterval = 10 * time.Millisecond
	readyTries    = 600 // together longer than the 5 s that GoBGP may stay in Idle
)

// listen opens n's listener, on this end's address of the tunnel and bound to
// the tunnel's interface, so that no other interface can reach it whatever its
// routes say. It lasts until n's context is done. Without one (the port is
// taken, say) BGP still works as long as the peer can be dialled, and it is tried again.
func (s *Speaker) listen(n *neighbor) {
	l, err := s.connections.Listen(n.ctx, &n.Neighbor)
	if err == nil {
		s.serve(n, l)
		return
	}
	if n.ctx.Err() != nil {
		return
	}
	log := s.log.With(slog.String("peer", n.Name), slog.String("interface", n.Interface))
	log.Warn("cannot listen for BGP in the tunnel (does another BGP daemon hold port 179?); trying again, and the session comes up if the peer can be dialled",
		slog.Any("err", err))
	n.work.Go(func() {
		for pause(n.ctx, listenInterval) {
			if l, err := s.connections.Listen(n.ctx, &n.Neighbor); err == nil {
				log.Info("it is possible again to listen for BGP in the tunnel")
				s.serve(n, l)
				return
			}
		}
	})
}

// serve takes the connections that come to n's listener, until n's context is done.
func (s *Speaker) serve(n *neighbor, l net.Listener) {
	context.AfterFunc(n.ctx, func() { l.Close() })
	n.work.Go(func() { s.acceptLoop(n, l) })
}

// acceptLoop takes n's connections until l is closed. It waits for none of them: listeners at one address are one, so that
// others are behind it in the queue. Those of nobody that is known are closed.
func (s *Speaker) acceptLoop(n *neighbor, l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or aborted by the peer
			if !pause(n.ctx, acceptRetry) {
				return
			}
			continue
		}
		remote := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
		s.arrive(n, remote, conn.(*net.TCPConn))
	}
}

// arrive takes a connection that came to n's listener from an address: n's, or another neighbor's on the same
// network. Where too many wait the one that has waited longest is closed: a peer's own sends its OPEN at once, and so soon waits no more.
func (s *Speaker) arrive(n *neighbor, remote netip.Addr, conn *net.TCPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.listenedForLocked(n, remote)
	if o == nil || !o.arrivals.Allow() {
		conn.Close()
		return
	}
	if len(o.arriving) == mostArriving {
		o.arriving[0].Close()
		o.arriving = slices.Delete(o.arriving, 0, 1)
	}
	o.arriving = append(o.arriving, conn)
	o.work.Go(func() { s.receive(o, conn) })
}

// listenedForLocked is the neighbor whose connection from an address came to n's listener, or nil.
func (s *Speaker) listenedForLocked(n *neighbor, remote netip.Addr) *neighbor {
	o := n
	if remote != n.key {
		o = s.byAddr[remote]
		if o == nil || !n.LAN() || !o.LAN() || o.LocalAddr != n.LocalAddr || o.Interface != n.Interface {
			return nil
		}
	}
	if o.ctx.Err() != nil {
		return nil
	}
	return o
}

// receive hands a connection that n made to GoBGP when GoBGP takes it. No other
// one is made to n meanwhile: each end would keep its own.
func (s *Speaker) receive(n *neighbor, conn *net.TCPConn) {
	came := time.Now()
	defer s.leave(n, conn)
	if !s.setWaiting(n) {
		conn.Close()
		return
	}
	defer s.endWaiting(n)
	for done := false; !done; {
		open, why, ok := s.awaitOpen(n, conn)
		if !ok {
			s.turnAway(n, conn, why)
			return
		}
		done = s.take(n, conn, open, came)
	}
}

// take is the part of receive that is done for one connection at a time. It returns false if there is a connection meanwhile,
// so that an OPEN is needed. came is when the connection did.
func (s *Speaker) take(n *neighbor, conn *net.TCPConn, open *judge.Open, came time.Time) (done bool) {
	select {
	case n.turn <- struct{}{}:
		defer func() { <-n.turn }()
	case <-n.ctx.Done():
		conn.Close()
		return true
	}
	have := s.connection(n)
	if have.conn != nil && open == nil {
		return false
	}
	if !s.leave(n, conn) {
		return true // a later one has taken its place, and closed it
	}
	if have.conn != nil {
		switch replaces, why := s.collide(n, have, open); {
		case replaces:
		case have.conn.crossed(open.RouterID, came, n.patience(crossTime)):
			s.refuse(conn, why)
			return true
		default:
			s.turnAway(n, conn, why)
			return true
		}
		s.endCurrent(n)
	}
	if !s.waitReady(n) || hungUp(conn) {
		conn.Close()
		return true
	}
	s.handOver(n, conn, false)
	return true
}

// leave notes that conn does not wait any more, and reports whether it did.
func (s *Speaker) leave(n *neighbor, conn *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(n.arriving, conn)
	if i >= 0 {
		n.arriving = slices.Delete(n.arriving, i, i+1)
	}
	return i >= 0
}

// setWaiting notes that a connection of the peer's waits to be taken, and ends
// an attempt of this end's to make one. It returns false where n is to be left
// alone.
func (s *Speaker) setWaiting(n *neighbor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.heldFor() > 0 {
		return false
	}
	n.session.waiting++
	if n.session.cancelDial != nil {
		n.session.cancelDial()
	}
	return true
}

// endWaiting has n dialled again if nothing has come of the connection.
func (s *Speaker) endWaiting(n *neighbor) {
	s.mu.Lock()
	n.session.waiting--
	if s.wantsConnectionLocked(n) {
		s.startDialLocked(n)
	}
	s.mu.Unlock()
}

// waitReady waits until GoBGP takes a connection with n: in Idle it closes
// every one, which the peer would take for a failed session and pause after.
// A tunnel comes up at both ends at once, so the peer's first connection often
// arrives in the milliseconds in which the neighbor here is still Idle. It
// returns false if n does not get ready.
func (s *Speaker) waitReady(n *neighbor) bool {
	for range readyTries {
		s.mu.Lock()
		ready := n.readyLocked()
		s.mu.Unlock()
		if ready {
			return true
		}
		if !pause(n.ctx, readyInterval) {
			return false
		}
	}
	return false
}

// readyLocked reports whether GoBGP takes a connection with n, or the session that n has
// waits for another one. Speaker.mu is held.
func (n *neighbor) readyLocked() bool {
	ready := n.session.state == stateActive && n.session.conn == nil
	if kept := n.session.kept; kept != nil {
		ready = kept.away && !kept.over && kept.next == nil && !time.Now().Before(kept.ready)
	}
	return ready && n.ctx.Err() == nil && n.heldFor() <= 0
}

// hungUp reports whether the peer has closed a connection that it has not
// spoken on yet. Given to GoBGP it would count as a failed session.
func hungUp(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN)
	})
	return gone || err != nil
}
