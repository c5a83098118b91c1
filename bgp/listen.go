package bgp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// A neighbor needs a new connection now and then; whoever asks for more waits
// in the kernel's queue.
const (
	acceptsPerSecond = 5
	acceptBurst      = 10
)

// listen opens n's listener, on this end's address of the tunnel and bound to
// the tunnel's interface, so that no other interface can reach it whatever its
// routes say. Without one (the port is taken, say) BGP still works as long as
// the peer can be dialled. The returned function closes it and waits.
func (s *Speaker) listen(n *neighbor) (stop func()) {
	lc := net.ListenConfig{KeepAlive: -1, Control: listenControl(n.LocalAddr, n.Interface)}
	l, err := lc.Listen(s.ctx, "tcp", netip.AddrPortFrom(n.LocalAddr, s.port).String())
	if err != nil {
		s.log.Warn("cannot listen for BGP in the tunnel (does another BGP daemon hold port 179?); the session comes up only if the peer can be dialled",
			slog.String("peer", n.Name), slog.String("interface", n.Interface), slog.Any("err", err))
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.acceptLoop(n, l)
	}()
	return func() {
		l.Close()
		<-done
	}
}

// listenControl binds the socket to the interface, and lets it take an address
// that is not there yet: one that is in duplicate address detection, for one.
func listenControl(local netip.Addr, iface string) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var errs []error
		err := c.Control(func(fd uintptr) {
			level, freebind := unix.IPPROTO_IP, unix.IP_FREEBIND
			if local.Is6() {
				level, freebind = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
			}
			errs = append(errs, unix.SetsockoptInt(int(fd), level, freebind, 1))
			if iface != "" {
				errs = append(errs, unix.BindToDevice(int(fd), iface))
			}
		})
		return errors.Join(append(errs, err)...)
	}
}

// acceptLoop hands n's connections to GoBGP until l is closed.
func (s *Speaker) acceptLoop(n *neighbor, l net.Listener) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer l.Close()
	limit := rate.NewLimiter(acceptsPerSecond, acceptBurst)
	for limit.Wait(ctx) == nil {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or aborted by the peer
			time.Sleep(time.Second / acceptsPerSecond)
			continue
		}
		remote := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		if remote.Unmap().WithZone("") != n.key {
			conn.Close()
			continue
		}
		select {
		case s.accept <- s.tap(n, conn.(*net.TCPConn)):
		case <-ctx.Done():
			conn.Close()
		}
	}
}
