package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fullChanges is how often one prefix is withdrawn, and announced again: processor time is
// counted in steps of 10 ms, here 0.1 ms a change.
const fullChanges = 50

// fullTurn is a router that is being measured.
type fullTurn struct {
	*fullDaemon
	feeders feeders
	sample  sample
}

// withRouter starts a router with so many feeders, and runs f when all sessions are established.
func withRouter(ctx context.Context, c fullRouter, feeders, prefixes int, f func(context.Context, *fullTurn) error) (_ sample, err error) {
	p, err := newFullPair(ctx, feeders)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	daemon, err := c.start(ctx, p, prefixes)
	if err != nil {
		return nil, err
	}
	t := &fullTurn{fullDaemon: daemon, sample: sample{}}
	return t.sample, watched(ctx, t.procs, func(ctx context.Context) error {
		if t.feeders, err = p.feed.accept(ctx); err != nil {
			return err
		}
		defer t.feeders.close()
		return f(ctx, t)
	})
}

// fillTurn measures a router: the table comes, single prefixes change, the table goes.
func fillTurn(ctx context.Context, c fullRouter, prefixes int, rest time.Duration) (sample, error) {
	return withRouter(ctx, c, 1, prefixes, func(ctx context.Context, t *fullTurn) error {
		if err := t.fill(ctx, prefixes); err != nil {
			return err
		}
		if t.kernel != nil {
			if err := t.changes(ctx, prefixes, fullChange, fullChangeCPU); err != nil {
				return fmt.Errorf("one changed prefix: %w", err)
			}
		}
		return t.withdraw(ctx, prefixes, rest)
	})
}

// fill sends the table from all feeders, and waits until all of it has arrived. Each feeder sends one
// prefix more, behind the table, that only it has: when those are there too, all that was sent has
// been read. With one feeder that is the last prefix of the table.
func (t *fullTurn) fill(ctx context.Context, prefixes int) error {
	if err := quiet(ctx, t.procs); err != nil {
		return err
	}
	before, err := total(t.procs, cpuSeconds)
	if err != nil {
		return err
	}
	own := len(t.feeders)
	if own == 1 {
		own = 0
	}
	tables := map[*feeder][]byte{}
	for i, f := range t.feeders {
		tables[f] = fullTable(prefixes, f.source)
		if own > 0 {
			tables[f] = appendAnnouncement(tables[f], prefixes+i, prefixes+i+1, f.source)
		}
	}
	began := time.Now()
	sending, giveUp := context.WithCancel(ctx)
	defer giveUp()
	sent := make(chan error, 1)
	go func() { sent <- t.feeders.sendAll(sending, func(f *feeder) []byte { return tables[f] }) }()
	at, err := t.await(ctx, prefixes+own, true)
	if err != nil {
		giveUp()
		return errors.Join(err, <-sent)
	}
	t.sample[fullFill] = at.Sub(began).Seconds()
	after, err := total(t.procs, cpuSeconds)
	if err != nil {
		return err
	}
	t.sample[fullCPU] = after - before
	t.sample[fullPeakRSS], err = megabytes(t.procs, peakBytes)
	return errors.Join(err, <-sent)
}

// changes withdraws one prefix and announces it again, and another, and so on, each time when the
// change before has arrived in the kernel.
func (t *fullTurn) changes(ctx context.Context, prefixes int, took, cpu metric) error {
	if err := quiet(ctx, t.procs); err != nil {
		return err
	}
	before, err := total(t.procs, cpuSeconds)
	if err != nil {
		return err
	}
	f := t.feeders[0]
	var times []float64
	for n := range fullChanges {
		i := n * prefixes / fullChanges
		for _, present := range []bool{false, true} {
			message := appendWithdrawal(nil, i, i+1)
			if present {
				message = appendAnnouncement(nil, i, i+1, f.source)
			}
			began := time.Now()
			if err := f.send(message); err != nil {
				return err
			}
			if err := t.awaitOne(ctx, i, present); err != nil {
				return err
			}
			times = append(times, time.Since(began).Seconds()*1e3)
		}
	}
	after, err := total(t.procs, cpuSeconds)
	t.sample[took] = quantile(times, 0.5)
	t.sample[cpu] = (after - before) * 1e3 / float64(len(times))
	return err
}

// withdraw withdraws the table, and reads the memory when the router has rested.
func (t *fullTurn) withdraw(ctx context.Context, prefixes int, rest time.Duration) error {
	if err := t.feeders.sendAll(ctx, func(*feeder) []byte { return fullWithdrawal(prefixes) }); err != nil {
		return err
	}
	if _, err := t.await(ctx, prefixes, false); err != nil {
		return fmt.Errorf("withdrawal of all: %w", err)
	}
	if err := pause(ctx, rest); err != nil {
		return err
	}
	var err error
	t.sample[fullRestRSS], err = megabytes(t.procs, residentBytes)
	return errors.Join(err, t.feeders.failed())
}

// changeTurn measures single changes beside tables of several sizes.
func changeTurn(ctx context.Context, c fullRouter, sizes []changeSize) (sample, error) {
	all := sample{}
	for _, size := range sizes {
		s, err := withRouter(ctx, c, 1, size.prefixes, func(ctx context.Context, t *fullTurn) error {
			if err := t.fill(ctx, size.prefixes); err != nil {
				return err
			}
			return t.changes(ctx, size.prefixes, size.took, size.cpu)
		})
		if err != nil {
			return nil, fmt.Errorf("beside %d prefixes: %w", size.prefixes, err)
		}
		all[size.took], all[size.cpu] = s[size.took], s[size.cpu]
	}
	return all, nil
}

// changeSize is a size of the table, and the figures of a change beside it.
type changeSize struct {
	prefixes  int
	took, cpu metric
}
