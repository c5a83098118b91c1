package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"warren/internal/status"
	"warren/lab/topo"
)

const (
	reloadSame       metric = "reload_unchanged_s"
	reloadSameHeld   metric = "reload_unchanged_longest_status_ms"
	reloadFilter     metric = "reload_filter_s"
	reloadFilterHeld metric = "reload_filter_longest_status_ms"
	reloadFilterDone metric = "reload_filter_to_kernel_s"
	reloadIdleStatus metric = "longest_status_in_quiet_ms"
)

// reloadQuiet is how long status is asked for in quiet, and reloadPause how long after an answer it is asked again.
const (
	reloadQuiet = 3 * time.Second
	reloadPause = 5 * time.Millisecond
)

func reloadPart(o options, bin string) part {
	kept := keptByFilter(o.prefixes)
	return part{
		name:  "reload",
		title: fmt.Sprintf("Reload with %d prefixes", o.prefixes),
		note: fmt.Sprintf(`The time is that of the command. Meanwhile the daemon is asked for its status again and again: it
answers between two events of its loop, so the longest answer is how long the loop was held. The filter that is
reloaded keeps %d of the prefixes; the routes of the others leave.
`, kept),
		figures: []figure{
			{reloadIdleStatus, "longest status, in quiet, ms"},
			{reloadSame, "unchanged reload, s"},
			{reloadSameHeld, "longest status meanwhile, ms"},
			{reloadFilter, "filter reload, s"},
			{reloadFilterHeld, "longest status until the kernel is done, ms"},
			{reloadFilterDone, "filter reload until the kernel is done, s"},
		},
		limits: []limit{{nameWarren, "unchanged reload: loop held, ms", reloadSameHeld, 100},
			{nameWarren, "filter reload: loop held, ms", reloadFilterHeld, 100}},
		participants: takingTurns(bin, false, func(ctx context.Context, r fullRouter) (sample, error) {
			return reloadTurn(ctx, r.needs()[0], o.prefixes)
		}, nameWarren),
	}
}

// keptByFilter is how many of n prefixes the filter keeps: a power of two, more than a quarter of n and
// at most half of it.
func keptByFilter(n int) int { return 1 << (bits.Len(uint(n/2)) - 1) }

// filterFor is an import filter, in TOML, for the first so many prefixes of the table, a power of two.
func filterFor(kept int) string {
	return fmt.Sprintf(`["%s/%d le 24"]`, fullPrefix(0).Addr(), 24-(bits.Len(uint(kept))-1))
}

func reloadTurn(ctx context.Context, bin string, prefixes int) (_ sample, err error) {
	p, err := newFullPair(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	r, err := topo.NewWarren(ctx, p.router, bin)
	if err != nil {
		return nil, err
	}
	if err := configureFull(r, p.feed.lines, prefixes); err != nil {
		return nil, err
	}
	if err := r.Start(); err != nil {
		return nil, err
	}
	t := &fullTurn{fullDaemon: intoKernel(p, r.Process), sample: sample{}}
	return t.sample, watched(ctx, t.procs, func(ctx context.Context) error {
		if t.feeders, err = p.feed.accept(ctx); err != nil {
			return err
		}
		defer t.feeders.close()
		if err := t.fill(ctx, prefixes); err != nil {
			return err
		}
		if err := quiet(ctx, t.procs); err != nil {
			return err
		}
		return t.reloads(ctx, r, p.feed.lines, prefixes)
	})
}

func (t *fullTurn) reloads(ctx context.Context, r *topo.Warren, lines []*feedLine, prefixes int) (err error) {
	t.sample[reloadIdleStatus], err = heldDuring(ctx, r.Socket(), func() error { return pause(ctx, reloadQuiet) })
	if err != nil {
		return err
	}
	reload := func() (seconds float64, err error) {
		began := time.Now()
		_, err = r.Command(ctx, "reload")
		return time.Since(began).Seconds(), err
	}
	t.sample[reloadSameHeld], err = heldDuring(ctx, r.Socket(), func() error {
		t.sample[reloadSame], err = reload()
		return err
	})
	if err != nil {
		return fmt.Errorf("unchanged reload: %w", err)
	}
	kept := keptByFilter(prefixes)
	if err := configureFeed(r, lines, feedPeers{imports: filterFor(kept), prefixes: prefixes, probed: true}); err != nil {
		return err
	}
	t.sample[reloadFilterHeld], err = heldDuring(ctx, r.Socket(), func() error {
		began := time.Now()
		if t.sample[reloadFilter], err = reload(); err != nil {
			return err
		}
		gone := &scan{has: t.kernel.has, first: kept, prefixes: prefixes - kept}
		at, err := t.awaitLook(ctx, scanInterval, gone.look)
		t.sample[reloadFilterDone] = at.Sub(began).Seconds()
		return err
	})
	if err != nil {
		return fmt.Errorf("filter reload: %w", err)
	}
	if got := t.kernel.count(prefixes); got != kept {
		return fmt.Errorf("filter reload: the kernel has %d of the prefixes, want %d", got, kept)
	}
	return nil
}

// heldDuring asks the daemon for its status while f runs, and returns how long the longest answer took, in ms.
func heldDuring(ctx context.Context, socket string, f func() error) (float64, error) {
	done := make(chan struct{})
	var longest time.Duration
	var asking error
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			began := time.Now()
			if _, err := status.Get(ctx, socket); err != nil {
				asking = fmt.Errorf("status meanwhile: %w", err)
				return
			}
			longest = max(longest, time.Since(began))
			select {
			case <-done:
				return
			case <-time.After(reloadPause):
			}
		}
	})
	err := f()
	close(done)
	wg.Wait()
	return longest.Seconds() * 1e3, errors.Join(err, asking)
}
