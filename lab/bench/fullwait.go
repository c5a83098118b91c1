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
	scanInterval  = 2 * time.Millisecond
	countInterval = 200 * time.Millisecond // each count is a process that starts and asks
)

// A router is quiet when it takes less than a twentieth of a processor for quietSpan.
const (
	quietSpan  = time.Second
	quietShare = 0.05
)

// awaitOne waits until the kernel has prefix number i, or has it no more.
func (t *fullTurn) awaitOne(ctx context.Context, i int, present bool) error {
	deadline := time.Now().Add(fullSoon)
	for t.kernel.has(fullPrefix(i)) != present {
		if err := errors.Join(ctx.Err(), t.feeder.failed()); err != nil {
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
func (t *fullTurn) await(ctx context.Context, prefixes int, present bool) (at time.Time, err error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	interval, look := countInterval, func() error { return t.counted(ctx, prefixes, present) }
	if t.kernel != nil {
		s := &scan{has: t.kernel.has, prefixes: prefixes, present: present}
		interval, look = scanInterval, s.look
	}
	_, err = topo.Eventually(ctx, interval, fullWithin, func() error {
		if err := t.feeder.failed(); err != nil {
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
	prefixes int
	present  bool
	passed   int // prefixes that were as they should be
}

// look goes on, and returns nil at the end.
func (s *scan) look() error {
	for ; s.passed < s.prefixes; s.passed++ {
		p := fullPrefix((s.passed + s.prefixes - 1) % s.prefixes)
		if s.has(p) != s.present {
			return fmt.Errorf("route for %v: want present %v, and %d prefixes were so", p, s.present, s.passed)
		}
	}
	return nil
}

// quiet waits until the router has nothing to do but what it always does.
func (t *fullTurn) quiet(ctx context.Context) error {
	_, err := topo.Eventually(ctx, quietSpan, fullReady, func() error {
		before, err := total(t.procs, cpuSeconds)
		if err != nil {
			return err
		}
		began := time.Now()
		select {
		case <-time.After(quietSpan):
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := total(t.procs, cpuSeconds)
		if err != nil {
			return err
		}
		if busy := (after - before) / time.Since(began).Seconds(); busy > quietShare {
			return fmt.Errorf("the router takes %.0f %% of a processor", 100*busy)
		}
		return nil
	})
	return err
}

// giveUpWith returns a context that is done also when one of the processes ends, which its cause
// tells.
func giveUpWith(ctx context.Context, procs []*topo.Process) (context.Context, context.CancelFunc) {
	ctx, giveUp := context.WithCancelCause(ctx)
	for _, p := range procs {
		go func() {
			err := p.Wait(ctx) // with ctx done, giveUp does nothing
			if err == nil {
				err = errors.New("exit status 0")
			}
			giveUp(fmt.Errorf("%v has ended: %w", p, err))
		}()
	}
	return ctx, func() { giveUp(nil) }
}

// total adds up a figure of several processes and their children.
func total[N int64 | float64](procs []*topo.Process, of func(pid int) (N, error)) (N, error) {
	var sum N
	for _, p := range procs {
		n, err := of(p.PID())
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
