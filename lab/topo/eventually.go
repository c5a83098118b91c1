package topo

import (
	"context"
	"fmt"
	"time"
)

// Eventually calls f until it returns nil, every interval, for at most within.
// It returns how long that took; on failure the error wraps f's last one. f is
// called at the end of the time too, however late that is.
func Eventually(ctx context.Context, interval, within time.Duration, f func() error) (time.Duration, error) {
	start := time.Now()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		last := time.Since(start) >= within
		err := f()
		if err == nil {
			return time.Since(start), nil
		}
		if last {
			return time.Since(start), fmt.Errorf("not within %v: %w", within, err)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
		case <-ctx.Done():
			return time.Since(start), fmt.Errorf("%w, and before that: %w", ctx.Err(), err)
		}
	}
}

// Throughout calls f at once, every interval, and when the time is over, and returns
// the first error.
func Throughout(ctx context.Context, interval, all time.Duration, f func() error) error {
	start := time.Now()
	end := time.NewTimer(all)
	defer end.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		last := time.Since(start) >= all
		if err := f(); err != nil {
			return fmt.Errorf("after %v of %v: %w", time.Since(start).Round(time.Millisecond), all, err)
		}
		if last {
			return nil
		}
		select {
		case <-tick.C:
		case <-end.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
