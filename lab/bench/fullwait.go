package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"warren/lab/topo"
)

const (
	// fullReady bounds the start of a router and of its session, fullWithin the way of a whole
	// table to the kernel or out of it, and fullSoon that of one prefix.
	fullReady  = time.Minute
	fullWithin = 5 * time.Minute
	fullSoon   = 20 * time.Second

	scanInterval  = 2 * time.Millisecond
	countInterval = 200 * time.Millisecond // each count is a process that starts and asks
)

// awaitOne waits until the kernel has prefix number i, or has it no more.
func (t *fullTurn) awaitOne(ctx context.Context, i int, present bool) error {
	deadline := time.Now().Add(fullSoon)
	for t.kernel.has(fullPrefix(i)) != present {
		if err := errors.Join(ctx.Err(), t.feeders.failed()); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%v: not in the kernel as it should be (%v) within %v", fullPrefix(i), present, fullSoon)
		}
		// A system call of its own: Go's timers can be a millisecond late.
		pause := unix.NsecToTimespec((50 * time.Microsecond).Nanoseconds())
		_ = unix.Nanosleep(&pause, nil) // a signal may end it early
	}
	return nil
}

// await waits until all of the table's prefixes are there, or none is, and returns when that was.
func (t *fullTurn) await(ctx context.Context, prefixes int, present bool) (time.Time, error) {
	if t.kernel == nil {
		return t.awaitLook(ctx, countInterval, func() error { return t.counted(ctx, prefixes, present) })
	}
	s := &scan{has: t.kernel.has, prefixes: prefixes, present: present}
	return t.awaitLook(ctx, scanInterval, s.look)
}

// awaitLook waits until look returns nil, and returns when that call began. It gives up when a
// feeder's session has ended.
func (t *fullTurn) awaitLook(ctx context.Context, interval time.Duration, look func() error) (at time.Time, err error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	_, err = topo.Eventually(ctx, interval, fullWithin, func() error {
		if err := t.feeders.failed(); err != nil {
			giveUp(err)
			return err
		}
		at = time.Now()
		return look()
	})
	return at, err
}

// counted returns nil if the router's own table has all prefixes, or none.
func (t *fullTurn) counted(ctx context.Context, prefixes int, present bool) error {
	want := 0
	if present {
		want = prefixes
	}
	n, err := t.count(ctx)
	if err == nil && n != want {
		err = fmt.Errorf("the router has %d prefixes, want %d", n, want)
	}
	return err
}

// scan goes through the table once, from the last prefix that is sent, the first to look at, to the
// one before it. It stops at each that is not yet as it should be. So a router that writes
// routes in their order is not disturbed before it is done, and a table is not listed again and again.
type scan struct {
	has      func(netip.Prefix) bool
	first    int // number of the first prefix
	prefixes int
	present  bool
	passed   int // prefixes that were as they should be
}

// look goes on, and returns nil at the end.
func (s *scan) look() error {
	for ; s.passed < s.prefixes; s.passed++ {
		p := fullPrefix(s.first + (s.passed+s.prefixes-1)%s.prefixes)
		if s.has(p) != s.present {
			return fmt.Errorf("route for %v: want present %v, and %d prefixes were so", p, s.present, s.passed)
		}
	}
	return nil
}
