package fib

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Times after which Run does something although nothing happened.
const (
	lookEvery   = time.Minute            // a look at the kernel finds what no event told
	retryFailed = 10 * time.Second       // the kernel refused a route
	retrySoon   = time.Second            // a link went away while routes were written
	settle      = 200 * time.Millisecond // the kernel tells of a removed address before it flushes the routes
)

// Run writes what is wanted, and follows the kernel's events, until ctx is done; it
// returns nil then. Call it once.
func (f *FIB) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := f.events.Follow(ctx, f.drain); err != nil {
			return fmt.Errorf("fib: %w", err)
		}
		return nil
	})
	g.Go(func() error { return f.writeWhenTold(ctx) })
	g.Go(func() error { return f.tick(ctx) })
	return g.Wait()
}

func (f *FIB) writeWhenTold(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
			f.writing.Lock()
			_ = f.write(ctx, false) // Status has it
			f.writing.Unlock()
		}
	}
}

// tick does what is due.
func (f *FIB) tick(ctx context.Context) error {
	for {
		f.mu.Lock()
		now := time.Now()
		if due(f.staleAt, now) {
			f.staleAt = time.Time{}
			f.staleLocked()
		}
		if due(f.retryAt, now) {
			f.retryAt = time.Time{}
			f.queueFailedLocked()
			f.signal()
		}
		audit := due(f.lookAt, now)
		wait := f.lookAt.Sub(now)
		for _, at := range []time.Time{f.staleAt, f.retryAt} {
			if !at.IsZero() {
				wait = min(wait, at.Sub(now))
			}
		}
		f.mu.Unlock()
		if audit {
			f.audit(ctx)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.rearm:
		case <-time.After(max(wait, 0)):
		}
	}
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// audit looks at the kernel beside writing. What the look says is written as ever.
func (f *FIB) audit(ctx context.Context) {
	if _, err := f.look(ctx, f.auditor); err != nil && ctx.Err() == nil {
		f.log.Warn("fib: cannot compare the routes with the kernel's; trying again", "err", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookAt = time.Now().Add(max(lookEvery, lookShare*f.lookTook))
}

// lookLocked has Run look at the kernel after d, or earlier if that is already due.
func (f *FIB) lookLocked(d time.Duration) { f.sooner(&f.staleAt, d) }

// retryLocked has Run try again what failed after d, or earlier if that is already due.
func (f *FIB) retryLocked(d time.Duration) { f.sooner(&f.retryAt, d) }

func (f *FIB) sooner(at *time.Time, d time.Duration) {
	if next := time.Now().Add(d); at.IsZero() || next.Before(*at) {
		*at = next
		select {
		case f.rearm <- struct{}{}:
		default:
		}
	}
}

// staleLocked has the next write look at the kernel first.
func (f *FIB) staleLocked() {
	f.pic.stale = true
	f.signal()
}

func (f *FIB) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}
