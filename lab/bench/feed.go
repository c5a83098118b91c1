package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"warren/internal/netns"
	"warren/lab/topo"
)

// feedASN is the AS number of the first feeder; those behind it follow.
const feedASN = 64600

// source is where announcements come from.
type source struct {
	asn  uint16
	addr netip.Addr
	// path tells apart the attributes of the same prefixes in several tables of one source.
	path uint32
}

// feed is a host with BGP routers that one router is fed by, each of them behind a tunnel of its own: a
// TUN device at each end, between which this process hands packets on.
//
//	router: feed0 10.98.0.1 ═ this process ═ 10.98.0.2 feed0: feeder
//	        feed1 10.98.1.1 ═ this process ═ 10.98.1.2 feed1: feeder
type feed struct {
	lines   []*feedLine
	closers []func() error
}

// feedLine is the tunnel to one feeder. The feeder's address is the higher one: Warren leaves it to
// the lower to connect first, and the feeder only listens.
type feedLine struct {
	source                    // what the feeder is
	ifname   string           // at both ends
	router   netip.Addr       // the router's address
	listener *net.TCPListener // the feeder's, port 179
}

// newFeed makes the host and joins it with the router. close has to be called before the topology's.
func newFeed(ctx context.Context, t *topo.Topology, router *topo.Host, feeders int) (*feed, error) {
	host, err := t.Host(ctx, "feeder")
	if err != nil {
		return nil, err
	}
	f := &feed{}
	for i := range feeders {
		if err := f.join(ctx, host, router, i); err != nil {
			return nil, errors.Join(fmt.Errorf("feeder: %w", err), f.close())
		}
	}
	return f, nil
}

func (f *feed) close() error {
	var errs []error
	for _, c := range f.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// join makes the tunnel to feeder number i, from 0.
func (f *feed) join(ctx context.Context, host, router *topo.Host, i int) error {
	l := &feedLine{ifname: fmt.Sprintf("feed%d", i), router: netip.AddrFrom4([4]byte{10, 98, byte(i), 1})}
	l.source = source{asn: feedASN + uint16(i), addr: l.router.Next()}
	near, err := f.device(ctx, router, l.ifname, l.router)
	if err != nil {
		return err
	}
	far, err := f.device(ctx, host, l.ifname, l.addr)
	if err != nil {
		return err
	}
	go handOn(near, far)
	go handOn(far, near)
	err = inside(host, func() error {
		l.listener, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.addr, 179)))
		return err
	})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, l.listener.Close)
	f.lines = append(f.lines, l)
	return nil
}

// device makes a TUN device with an address on a host.
func (f *feed) device(ctx context.Context, h *topo.Host, name string, addr netip.Addr) (end *os.File, err error) {
	err = inside(h, func() error {
		fd, err := openTUN(name)
		if err == nil {
			end = os.NewFile(uintptr(fd), name)
			f.closers = append(f.closers, end.Close)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return end, h.IP(ctx, fmt.Sprintf("addr add %s/30 dev %s", addr, name), "link set dev "+name+" up")
}

// accept waits until each feeder's session with the router is established.
func (f *feed) accept(ctx context.Context) (fs feeders, err error) {
	ctx, cancel := context.WithTimeout(ctx, fullReady)
	defer cancel()
	for _, l := range f.lines {
		one, err := acceptFeeder(ctx, l.listener, l.source)
		if err != nil {
			fs.close()
			return nil, err
		}
		fs = append(fs, one)
	}
	return fs, nil
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
