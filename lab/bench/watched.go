package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"warren/lab/topo"
)

// A process is quiet when it takes less than a twentieth of a processor for quietSpan.
const (
	quietSpan  = time.Second
	quietShare = 0.05
)

// watched runs f with a context that is done also when one of the processes ends. To an error it adds
// that, and what they have logged.
func watched(ctx context.Context, procs []*topo.Process, f func(context.Context) error) error {
	ctx, stop := giveUpWith(ctx, procs)
	defer stop()
	err := f(ctx)
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	for _, proc := range procs {
		err = fmt.Errorf("%w\nlog of %v:\n%s", err, proc, tail(proc.Log()))
	}
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

// quiet waits until the processes have nothing to do but what they always do.
func quiet(ctx context.Context, procs []*topo.Process) error {
	_, err := topo.Eventually(ctx, quietSpan, fullWithin, func() error {
		before, err := total(procs, cpuSeconds)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := pause(ctx, quietSpan); err != nil {
			return err
		}
		after, err := total(procs, cpuSeconds)
		if err != nil {
			return err
		}
		if busy := (after - before) / time.Since(began).Seconds(); busy > quietShare*float64(len(procs)) {
			return fmt.Errorf("%v: they take %.0f %% of a processor", procs, 100*busy)
		}
		return nil
	})
	return err
}

// pause waits as long as a figure asks for, or until ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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

// megabytes is the memory of the processes and their children by one of its measures.
func megabytes(procs []*topo.Process, of func(pid int) (int64, error)) (float64, error) {
	n, err := total(procs, of)
	return float64(n) / (1 << 20), err
}
