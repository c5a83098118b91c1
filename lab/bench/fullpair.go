package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
	"warren/lab/topo"
)

// fullInterface is the name of the tunnel at both ends.
const fullInterface = "tun-full"

// feederAddr is the feeder's address on the tunnel. It is the higher one: Warren leaves it to
// the lower to connect first, and the feeder only listens.
var feederAddr = netip.MustParseAddr(tunnelB)

// fullPair is a router to be measured and the feeder's host, joined by a tunnel: a TUN device at
// each end, between which this process hands packets on.
//
//	router: bgpd, tun-full 10.99.0.1 ═ this process ═ 10.99.0.2 tun-full: feeder
type fullPair struct {
	*topo.Topology
	router   *topo.Host
	listener *net.TCPListener // of the feeder's host, port 179
	kernel   *kernelRoutes    // of the router
	closers  []func() error   // are called in the opposite order
}

func newFullPair(ctx context.Context) (*fullPair, error) {
	t, err := topo.New(ctx, "bench")
	if err != nil {
		return nil, err
	}
	p := &fullPair{Topology: t, closers: []func() error{t.Close}}
	if err := p.build(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// close kills what runs and removes everything.
func (p *fullPair) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	return errors.Join(errs...)
}

func (p *fullPair) build(ctx context.Context) (err error) {
	if p.router, err = p.Host(ctx, "router", topo.Forwarding()); err != nil {
		return err
	}
	feeding, err := p.Host(ctx, "feeder")
	if err != nil {
		return err
	}
	var ends []*os.File
	for _, h := range []*topo.Host{p.router, feeding} {
		err := inside(h, func() error {
			fd, err := openTUN(fullInterface)
			if err != nil {
				return err
			}
			end := os.NewFile(uintptr(fd), fullInterface)
			p.closers = append(p.closers, end.Close)
			ends = append(ends, end)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for h, addr := range map[*topo.Host]string{p.router: tunnelA, feeding: tunnelB} {
		err := h.IP(ctx, "addr add "+addr+"/30 dev "+fullInterface, "link set dev "+fullInterface+" up")
		if err != nil {
			return err
		}
	}
	go handOn(ends[0], ends[1])
	go handOn(ends[1], ends[0])
	if err := inside(feeding, func() error {
		p.listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(tunnelB), Port: 179})
		return err
	}); err != nil {
		return fmt.Errorf("feeder: %w", err)
	}
	p.closers = append(p.closers, p.listener.Close)
	if p.kernel, err = newKernelRoutes(p.router); err != nil {
		return err
	}
	p.closers = append(p.closers, p.kernel.close)
	return nil
}

// inside runs f in a host's namespace, in which the sockets stay that f opens.
func inside(h *topo.Host, f func() error) (err error) {
	ns, err := netns.Open(h.Netns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	return ns.Do(f)
}

// handOn hands packets from one device to the other until either is closed. What a device does
// not take is lost, as on any link.
func handOn(from, to *os.File) {
	packet := make([]byte, 1<<16)
	for {
		n, err := from.Read(packet)
		if err != nil {
			return
		}
		if _, err := to.Write(packet[:n]); errors.Is(err, os.ErrClosed) {
			return
		}
	}
}

// kernelRoutes looks at the IPv4 routes of a host's kernel. It is used by one goroutine at a time.
type kernelRoutes struct {
	socket int // UDP
}

func newKernelRoutes(h *topo.Host) (*kernelRoutes, error) {
	k := &kernelRoutes{}
	err := inside(h, func() (err error) {
		k.socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kernel routes: socket: %w", err)
	}
	return k, nil
}

func (k *kernelRoutes) close() error { return unix.Close(k.socket) }

// has reports whether the kernel has a route for the first address behind that of p. To connect a
// UDP socket sends nothing; it looks for a route, within a microsecond or two. The host has no
// default route.
func (k *kernelRoutes) has(p netip.Prefix) bool {
	return unix.Connect(k.socket, &unix.SockaddrInet4{Port: 9, Addr: p.Addr().Next().As4()}) == nil
}
