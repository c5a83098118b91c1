package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
	"warren/lab/topo"
)

const switchTook metric = "switch_ms"

const (
	// switchSamples is how many prefixes, evenly spread over the table, are looked at: each look takes
	// some 20 µs.
	switchSamples = 100
	switchWithin  = 2 * time.Minute
)

func switchPart(o options, bin string) part {
	size := max(1, o.prefixes/2)
	p := part{
		name:  "switch",
		title: fmt.Sprintf("A tunnel is lost with %d prefixes that another tunnel has too", size),
		note: fmt.Sprintf(`Two providers, a tunnel over each, the same prefixes by both; the one that carries is cut without a word. The time
is from the kernel's event that the lost tunnel's interface has no carrier until the kernel's route lookup, asked
again and again for %d of the prefixes, leads none of them into that interface any more, and all into the other.
`, switchSamples),
		figures: []figure{{switchTook, "carrier lost to last prefix in the other tunnel, ms"}},
		participants: warrenParticipants(bin, func(ctx context.Context, bin, transport string) (sample, error) {
			return switchTurn(ctx, bin, lineConfig{transport: transport, prefixes: size, transit: true,
				keepalive: o.keepalive, deadAfter: o.deadAfter})
		}),
	}
	for _, w := range []string{nameWarren, nameWarrenWireGuard} {
		p.limits = append(p.limits, limit{w, w + ": switched to the other tunnel, ms", switchTook, 50})
	}
	return p
}

func switchTurn(ctx context.Context, bin string, c lineConfig) (_ sample, err error) {
	l, err := newLines(ctx, 2, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	c.fed = l.b()
	f, err := newFeed(ctx, l.Topology, c.fed, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	w, err := startLineWarrens(ctx, l, bin, c, f)
	if err != nil {
		return nil, err
	}
	s := sample{}
	return s, watched(ctx, w.procs(), func(ctx context.Context) error {
		fs, err := fillLines(ctx, l, f, w.procs(), c.prefixes, func() error { return w.ready(ctx, 2, c.prefixes) })
		if err != nil {
			return err
		}
		defer fs.close()
		s[switchTook], err = watchSwitch(ctx, l, c.prefixes)
		return err
	})
}

// fillLines feeds the prefixes, and returns when A's kernel has all of them, ready returns nil and nothing is left to do.
func fillLines(ctx context.Context, l *lines, f *feed, procs []*topo.Process, prefixes int, ready func() error) (_ feeders, err error) {
	kernel, err := newKernelRoutes(l.a)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kernel.close()) }()
	fs, err := f.accept(ctx)
	if err != nil {
		return nil, err
	}
	t := &fullTurn{fullDaemon: &fullDaemon{kernel: kernel}, feeders: fs}
	err = fs.sendAll(ctx, func(f *feeder) []byte { return fullTable(prefixes, f.source) })
	if err == nil {
		_, err = t.await(ctx, prefixes, true)
	}
	if err == nil {
		_, err = t.awaitLook(ctx, countInterval, ready)
	}
	if err == nil {
		err = quiet(ctx, procs)
	}
	if err != nil {
		fs.close()
		return nil, fmt.Errorf("fill both lines: %w", err)
	}
	return fs, nil
}

// watchSwitch cuts the line whose tunnel most samples lead into, and returns in ms how long the switch took.
func watchSwitch(ctx context.Context, l *lines, prefixes int) (float64, error) {
	look, err := newLookup(l.a)
	if err != nil {
		return 0, err
	}
	defer look.Close()
	samples := map[int][]net.IP{}
	names := map[int]string{}
	for i := range switchSamples {
		ip := net.IP(fullPrefix(i * prefixes / switchSamples).Addr().Next().AsSlice())
		index, err := look.way(ip)
		if err != nil {
			return 0, err
		}
		samples[index] = append(samples[index], ip)
	}
	lost := 0
	for index := range samples {
		if link, err := look.LinkByIndex(index); err == nil {
			names[index] = link.Attrs().Name
		}
		if len(samples[index]) > len(samples[lost]) {
			lost = index
		}
	}
	number := 0
	for number < len(l.providers) && linePeerName(number) != names[lost] {
		number++
	}
	if number == len(l.providers) {
		return 0, fmt.Errorf("the prefixes lead into %q, which is no line's tunnel", names[lost])
	}
	carrier, err := watchCarrier(ctx, l.a, names[lost])
	if err != nil {
		return 0, err
	}
	if err := l.providers[number].silence(ctx); err != nil {
		return 0, err
	}
	var at time.Time
	select {
	case at = <-carrier:
	case <-time.After(switchWithin):
		return 0, fmt.Errorf("%s keeps its carrier for %v", names[lost], switchWithin)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for _, ip := range samples[lost] {
		for {
			if index, err := look.way(ip); err == nil && index != lost {
				break
			}
			if err := ctx.Err(); err != nil || time.Since(at) > switchWithin {
				return 0, errors.Join(err, fmt.Errorf("%v still leads into %s or nowhere", ip, names[lost]))
			}
		}
	}
	return time.Since(at).Seconds() * 1e3, nil
}

// lookup asks a host's kernel where packets go.
type lookup struct{ *netlink.Handle }

func newLookup(h *topo.Host) (*lookup, error) {
	var l lookup
	err := inside(h, func() (err error) {
		l.Handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return &l, err
}

// way is the index of the interface into which packets to ip go.
func (l *lookup) way(ip net.IP) (int, error) {
	routes, err := l.RouteGet(ip)
	if err != nil {
		return 0, fmt.Errorf("route to %v: %w", ip, err)
	}
	if len(routes) != 1 {
		return 0, fmt.Errorf("route to %v: %d answers", ip, len(routes))
	}
	return routes[0].LinkIndex, nil
}

// watchCarrier returns a channel that gets the time when the interface is seen without its carrier, until ctx is done.
func watchCarrier(ctx context.Context, h *topo.Host, name string) (<-chan time.Time, error) {
	var events *rtnl.Events
	err := inside(h, func() (err error) {
		events, err = rtnl.Subscribe(rtnl.Hidden{}, unix.RTNLGRP_LINK)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("events of the kernel: %w", err)
	}
	lost := make(chan time.Time, 1)
	go func() {
		defer events.Close()
		_ = events.Follow(ctx, func() (int, error) { // whoever waits for the event has a bound
			now := time.Now()
			return events.Drain(func(head rtnl.Header, payload []byte) {
				l, ok := rtnl.ParseLink(payload)
				if head.Type == unix.RTM_NEWLINK && ok && l.Name == name && !l.Carrier {
					select {
					case lost <- now:
					default:
					}
				}
			})
		})
	}()
	return lost, nil
}
