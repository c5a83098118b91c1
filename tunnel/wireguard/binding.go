package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
	"warren/tunnel/wireguard/flow"
)

// binding is the sockets of the endpoint's port that are bound to one underlay, or to none. Some
// links send by them; what arrives may be of any link.
type binding struct {
	underlay string // interface; "" follows the host's routes
	links    int    // that send by it; of Endpoint.mu
	current  atomic.Pointer[socketPair]
}

// socketPair is the two sockets of a port; either may be nil, v6 on a host without IPv6.
type socketPair struct {
	v4, v6 *flow.Socket
	port   uint16
	index  int   // of the underlay
	err    error // why there is no socket
}

var errNoPort = errors.New("no port is open")

func newBinding(underlay string) *binding {
	b := &binding{underlay: underlay}
	b.current.Store(&socketPair{err: errNoPort})
	return b
}

func (p *socketPair) each(f func(*flow.Socket)) {
	for _, s := range []*flow.Socket{p.v4, p.v6} {
		if s != nil {
			f(s)
		}
	}
}

func (p *socketPair) close() { p.each(func(s *flow.Socket) { s.Close() }) }

// Send implements [flow.Sender].
func (b *binding) Send(burst *flow.Burst, to netip.AddrPort, from netip.Addr) error {
	p := b.current.Load()
	s := p.v6
	if to.Addr().Is4() {
		s = p.v4
	}
	switch {
	case s != nil:
		return s.Send(burst, to, from)
	case p.err != nil:
		return p.err
	case !to.IsValid():
		return errors.New("it is not known where the peer is")
	}
	return fmt.Errorf("%s cannot be reached: this kernel has no IPv6", to.Addr())
}

// problem is why nothing can be sent, or nil.
func (b *binding) problem() error { return b.current.Load().err }

// stale reports whether the underlay is not the interface that the sockets are bound to.
func (b *binding) stale() bool {
	if b.underlay == "" {
		return false
	}
	index, err := sysio.InterfaceIndex(b.underlay)
	p := b.current.Load()
	if err != nil && !errors.Is(err, sysio.ErrNoInterface) {
		return p.err != nil // it cannot be told; without descriptors for a moment, say
	}
	return p.err != nil || err != nil || index != p.index
}

// opening is what sockets are to be opened for.
type opening struct {
	underlay string // "": none
	port     uint16 // 0: the kernel chooses
	spare    bool   // the port is no other sockets' too
}

// open binds a port in both families, on an underlay or on none. A port that the kernel
// chose for one family may be taken in the other: then it is asked again.
func (e *Endpoint) open(o opening) (*socketPair, error) {
	index := 0
	if o.underlay != "" {
		var err error
		if index, err = sysio.InterfaceIndex(o.underlay); err != nil {
			return nil, err
		}
	}
	for range 10 {
		v4, err := e.bind("udp4", o)
		if err != nil {
			return nil, err
		}
		p := &socketPair{v4: flow.NewSocket(v4), port: v4.LocalAddr().(*net.UDPAddr).AddrPort().Port(), index: index}
		both := o
		both.port = p.port
		v6, err := e.bind("udp6", both)
		switch {
		case err == nil:
			p.v6 = flow.NewSocket(v6)
			return p, nil
		case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EADDRNOTAVAIL):
			if !o.spare { // whose port is opened again and again
				e.log.Info("no IPv6 here", "err", err)
			}
			return p, nil
		}
		p.close()
		if o.port != 0 {
			return nil, err
		}
	}
	return nil, errors.New("no port is free in both families")
}

// bind opens one socket. The unbound socket binds first, without SO_REUSEPORT, so that a taken
// port is an error, also if another Warren has it; then those of underlays join.
func (e *Endpoint) bind(network string, o opening) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
		if err := flow.Prepare(network, c); err != nil {
			return err
		}
		if o.underlay != "" && !o.spare {
			if err := sharePort(c); err != nil {
				return err
			}
		}
		if e.cfg.Control == nil {
			return nil
		}
		return e.cfg.Control(o.underlay)(network, address, c)
	}}
	conn, err := e.inherited(network, o)
	if err != nil {
		e.log.Warn("a socket cannot be taken over and is made again", "err", err)
	}
	if conn == nil {
		c, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(o.port)))
		if err != nil {
			return nil, err
		}
		conn = c.(*net.UDPConn)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		// One that was handed over may be of a program that has asked it for less.
		err = flow.Prepare(network, raw)
	}
	if err == nil && !o.spare {
		err = sharePort(raw)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func sharePort(c syscall.RawConn) error {
	var opErr error
	err := c.Control(func(fd uintptr) {
		opErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(err, opErr)
}
