package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

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
	// switchInterval is between two looks at a prefix that has not been switched: each takes the lock that
	// the router needs to write routes (rtnl_lock of Linux' net/core/rtnetlink.c).
	switchInterval = time.Millisecond
)

func switchPart(o options, bin string) part {
	size := max(1, o.prefixes/2)
	p := part{
		name:  "switch",
		title: fmt.Sprintf("A tunnel is lost with %d prefixes that another tunnel has too", size),
		note: fmt.Sprintf(`Two providers, a tunnel over each, the same prefixes by both; the one that carries is cut without a word. The time
is from the kernel's event that the lost tunnel's interface has no carrier until the kernel's route lookup, asked
each millisecond for %d of the prefixes, leads none of them into that interface any more, and all into the other.
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
func watchSwitch(ctx context.Context, l *lines, prefixes int) (took float64, err error) {
	look, err := newLookup(l.a)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, look.close()) }()
	samples := map[uint32][]netip.Addr{} // by the index of the interface
	for i := range switchSamples {
		to := fullPrefix(i * prefixes / switchSamples).Addr().Next()
		index, err := look.way(to)
		if err != nil {
			return 0, err
		}
		samples[index] = append(samples[index], to)
	}
	lost, number := uint32(0), 0
	for i := range l.providers {
		index, err := indexOf(ctx, l.a, linePeerName(i))
		if err != nil {
			return 0, err
		}
		if len(samples[index]) > len(samples[lost]) {
			lost, number = index, i
		}
	}
	if lost == 0 {
		return 0, errors.New("the prefixes lead into no line's tunnel")
	}
	carrier, err := watchCarrier(ctx, l.a, linePeerName(number))
	if err != nil {
		return 0, err
	}
	if err := l.providers[number].silence(ctx); err != nil {
		return 0, err
	}
	select {
	case at := <-carrier:
		return look.leftBy(ctx, lost, samples[lost], at)
	case <-time.After(switchWithin):
		return 0, fmt.Errorf("%s keeps its carrier for %v", linePeerName(number), switchWithin)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// leftBy waits until all addresses lead somewhere, but not into the interface lost, and returns how many
// ms that is after a moment.
func (l *lookup) leftBy(ctx context.Context, lost uint32, addrs []netip.Addr, at time.Time) (float64, error) {
	for _, to := range addrs {
		for {
			if index, err := l.way(to); err == nil && index != lost {
				break
			}
			if err := ctx.Err(); err != nil || time.Since(at) > switchWithin {
				return 0, errors.Join(err, fmt.Errorf("%v still leads into the lost tunnel, or nowhere", to))
			}
			nap := unix.NsecToTimespec(switchInterval.Nanoseconds()) // by a system call: Go's timers can be late
			_ = unix.Nanosleep(&nap, nil)                            // a signal may end it early
		}
	}
	return time.Since(at).Seconds() * 1e3, nil
}

// indexOf is the index of a host's interface.
func indexOf(ctx context.Context, h *topo.Host, name string) (uint32, error) {
	text, err := h.Run(ctx, "cat", "/sys/class/net/"+name+"/ifindex")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("index of %s: %w", name, err)
	}
	return uint32(n), nil
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
