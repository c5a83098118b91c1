package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	bgpPort = 179
	// callPause bounds how often a peer that calls is listened to.
	callPause = 200 * time.Millisecond
)

// listenIPv4 waits on a tunnel's interface for connections of the peer's for BGP, closes
// each, and calls called. When stop returns the port is free. Nothing else than the peer
// itself can be at the other end of a connection, as its answers go there.
func listenIPv4(ifname string, e ends, called func()) (stop func(), err error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		var errs []error
		err := c.Control(func(fd uintptr) {
			errs = append(errs, unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1), unix.BindToDevice(int(fd), ifname))
		})
		return errors.Join(append(errs, err)...)
	}}
	lc.SetMultipathTCP(false)
	listener, err := lc.Listen(context.Background(), "tcp4", netip.AddrPortFrom(e.local, bgpPort).String())
	if err != nil {
		return nil, err
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
				conn.Close()
				if from == e.peer {
					called()
				}
			}
			select {
			case <-time.After(callPause):
			case <-stopped:
			}
		}
	}()
	return func() {
		close(stopped)
		listener.Close()
		<-done
	}, nil
}
