// Package sockets opens the TCP sockets of BGP sessions inside tunnels. Each is bound to
// the tunnel's interface and has this end's address of it, so that no other interface
// reaches it, whatever routes say. That takes privileges (binding to a port below 1024,
// and to an interface), which a speaker itself need not have.
//
// A neighbor on a network with others has its sockets on this end's address there. Several
// may have one address, and so one listener (pool.go); a password and a bound of the TTL
// are set before anything is heard (lan.go).
package sockets

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/bgp"
)

// Port is where BGP listens (RFC 4271 section 8.1.2).
const Port = 179

// An Opener opens sockets. The zero Opener uses port Port.
type Opener struct {
	port uint16
}

// On returns an Opener for another port, on this end and on the peer's: for tests.
func On(port uint16) Opener { return Opener{port} }

// Port is where the Opener listens and connects to.
func (o Opener) Port() uint16 {
	if o.port == 0 {
		return Port
	}
	return o.port
}

// Listen listens for a neighbor's connections, which may come from anybody behind the
// tunnel. Its addresses are normalized. The listener is a *net.TCPListener.
func (o Opener) Listen(ctx context.Context, n *bgp.Neighbor) (net.Listener, error) {
	renewZone(ctx, n.LocalAddr)
	lc := net.ListenConfig{KeepAlive: -1, Control: control(n)}
	return lc.Listen(ctx, "tcp", netip.AddrPortFrom(n.LocalAddr, o.Port()).String())
}

// Dial connects to a neighbor, until ctx is done.
func (o Opener) Dial(ctx context.Context, n *bgp.Neighbor) (*net.TCPConn, error) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(n.LocalAddr, 0)),
		KeepAlive: -1,
		Control:   control(n),
	}
	conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(n.PeerAddr, o.Port()).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// control sets what a neighbor's sockets have in common, before they are bound.
func control(n *bgp.Neighbor) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var errs []error
		err := c.Control(func(fd uintptr) {
			errs = append(errs, bind(int(fd), n.LocalAddr, n.Interface))
			if n.TTLSecurity {
				errs = append(errs, secureTTL(int(fd), n.LocalAddr.Is6()))
			}
			if n.Password != "" {
				errs = append(errs, sign(int(fd), n.PeerAddr, n.Password))
			}
		})
		return errors.Join(append(errs, err)...)
	}
}

// bind binds the socket to the interface, and lets it take an address that is not
// there yet: one that is in duplicate address detection, for one.
func bind(fd int, local netip.Addr, iface string) error {
	level, freebind := unix.IPPROTO_IP, unix.IP_FREEBIND
	if local.Is6() {
		level, freebind = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
	}
	err := unix.SetsockoptInt(fd, level, freebind, 1)
	if iface != "" {
		err = errors.Join(err, unix.BindToDevice(fd, iface))
	}
	return err
}
