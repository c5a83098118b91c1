package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// A neighbor needs a new connection now and then; whoever asks for more waits
// in the kernel's queue.
const (
	acceptsPerSecond = 5
	acceptBurst      = 10

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

// acceptLoop hands n's connections to GoBGP until l is closed.
func (s *Speaker) acceptLoop(n *neighbor, l net.Listener) {
	limit := rate.NewLimiter(acceptsPerSecond, acceptBurst)
	for limit.Wait(n.ctx) == nil {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or aborted by the peer
			time.Sleep(time.Second / acceptsPerSecond)
			continue
		}
		remote := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
		switch {
		case remote == n.key:
			s.receive(n, conn.(*net.TCPConn))
		case !n.LAN() || !s.receiveBeside(n, remote, conn.(*net.TCPConn)):
			conn.Close()
		}
	}
}

// receiveBeside takes a connection that came to n's listener and is of another neighbor on
// the same network: listeners at one address are one. It returns false if there is none.
func (s *Speaker) receiveBeside(n *neighbor, remote netip.Addr, conn *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.byAddr[remote]
	if o == nil || !o.LAN() || o.LocalAddr != n.LocalAddr || o.Interface != n.Interface || o.ctx.Err() != nil {
		return false
	}
	o.work.Go(func() { s.receive(o, conn) })
	return true
}

// receive hands a connection that n made to GoBGP when GoBGP takes it. No other
// one is made to n meanwhile: each end would keep its own.
func (s *Speaker) receive(n *neighbor, conn *net.TCPConn) {
	if !s.setWaiting(n) {
		conn.Close()
		return
	}
	defer s.endWaiting(n)
	if have := s.connection(n); have.conn != nil {
		if !s.collide(n, conn) {
			conn.Close()
			return
		}
		s.endCurrent(n)
	}
	if !s.waitReady(n) || hungUp(conn) {
		conn.Close()
		return
	}
	s.handOver(n, conn, false)
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
	n.session.waiting = true
	if n.session.cancelDial != nil {
		n.session.cancelDial()
	}
	return true
}

// endWaiting has n dialled again if nothing has come of the connection.
func (s *Speaker) endWaiting(n *neighbor) {
	s.mu.Lock()
	n.session.waiting = false
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
