package topo

import (
	"context"
	"fmt"
	"time"
)

// Eventually calls f until it returns nil, every interval, for at most within.
// It returns how long that took; on failure the error wraps f's last one.
func Eventually(ctx context.Context, interval, within time.Duration, f func() error) (time.Duration, error) {
	start := time.Now()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return time.Since(start), nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return time.Since(start), fmt.Errorf("not within %v: %w", within, err)
		case <-ctx.Done():
			return time.Since(start), fmt.Errorf("%w, and before that: %w", ctx.Err(), err)
		}
	}
}
