package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// fullReady bounds the start of a router and of its session, fullWithin the way of a whole
	// table to the kernel or out of it, and fullSoon that of one prefix.
	fullReady  = time.Minute
	fullWithin = 5 * time.Minute
	fullSoon   = 20 * time.Second
	// fullChanges is how often one prefix is withdrawn, and announced again: processor time is
	// counted in steps of 10 ms, here 0.1 ms a change.
	fullChanges = 50
)

// measureFull lets the routers take turns, one alone, and returns what it has, also if there is an error.
func measureFull(ctx context.Context, o options, chosen []fullRouter) (results, error) {
	out := make(results, len(chosen))
	for i, c := range chosen {
		version, err := c.version(ctx)
		if err != nil {
			return nil, err
		}
		out[i] = result{Name: c.name(), Title: c.title(), Version: version, Median: sample{}}
	}
	for round := range o.rounds {
		for turn := range chosen {
			i := (round + turn) % len(chosen)
			fmt.Printf("full table, round %d of %d: %s\n", round+1, o.rounds, chosen[i].title())
			s, err := fullTurnOf(ctx, o, chosen[i])
			if err != nil {
				return out, fmt.Errorf("full table: %s: %w", chosen[i].name(), err)
			}
			out[i].add(s)
		}
	}
	return out, nil
}

// fullTurn is a router that is being measured.
type fullTurn struct {
	*fullDaemon
	feeder *feeder
	sample sample
}

func fullTurnOf(ctx context.Context, o options, c fullRouter) (_ sample, err error) {
	p, err := newFullPair(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	daemon, err := c.start(ctx, p, o.prefixes)
	if err != nil {
		return nil, err
	}
	t := &fullTurn{fullDaemon: daemon, sample: sample{}}
	ctx, stop := giveUpWith(ctx, t.procs)
	defer stop()
	if err := t.measure(ctx, p, o); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		for _, proc := range t.procs {
			err = fmt.Errorf("%w\nlog of %v:\n%s", err, proc, tail(proc.Log()))
		}
		return nil, err
	}
	return t.sample, nil
}

// measure goes through the tests in their order: each begins where the one before has ended.
func (t *fullTurn) measure(ctx context.Context, p *fullPair, o options) error {
	accepting, cancel := context.WithTimeout(ctx, fullReady)
	defer cancel()
	var err error
	if t.feeder, err = acceptFeeder(accepting, p.listener, feederAddr); err != nil {
		return err
	}
	defer t.feeder.close()
	if err := t.fill(ctx, fullTable(o.prefixes, feederAddr), o.prefixes); err != nil {
		return err
	}
	if t.kernel != nil {
		if err := t.changes(ctx, o.prefixes); err != nil {
			return fmt.Errorf("one changed prefix: %w", err)
		}
	}
	if err := t.feeder.send(fullWithdrawal(o.prefixes)); err != nil {
		return err
	}
	if _, err := t.await(ctx, o.prefixes, false); err != nil {
		return fmt.Errorf("withdrawal of all: %w", err)
	}
	select {
	case <-time.After(o.rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	rest, err := total(t.procs, residentBytes)
	t.sample[fullRestRSS] = float64(rest) / (1 << 20)
	return errors.Join(err, t.feeder.failed())
}

// fill sends the table, and waits until all of it has arrived.
func (t *fullTurn) fill(ctx context.Context, table []byte, prefixes int) error {
	if err := t.quiet(ctx); err != nil {
		return err
	}
	before, err := total(t.procs, cpuSeconds)
	if err != nil {
		return err
	}
	began := time.Now()
	sent := make(chan error, 1)
	go func() { sent <- t.feeder.send(table) }()
	at, err := t.await(ctx, prefixes, true)
	if err != nil {
		t.feeder.conn.Close() // so that what waits for the router does not wait any longer
		return errors.Join(err, <-sent)
	}
	t.sample[fullFill] = at.Sub(began).Seconds()
	after, err := total(t.procs, cpuSeconds)
	if err != nil {
		return err
	}
	t.sample[fullCPU] = after - before
	peak, err := total(t.procs, peakBytes)
	t.sample[fullPeakRSS] = float64(peak) / (1 << 20)
	return errors.Join(err, <-sent)
}

// changes withdraws one prefix and announces it again, and another, and so on, each time when the
// change before has arrived in the kernel.
func (t *fullTurn) changes(ctx context.Context, prefixes int) error {
	if err := t.quiet(ctx); err != nil {
		return err
	}
	before, err := total(t.procs, cpuSeconds)
	if err != nil {
		return err
	}
	var took []float64
	for n := range fullChanges {
		i := n * prefixes / fullChanges
		for _, present := range []bool{false, true} {
			message := appendWithdrawal(nil, i, i+1)
			if present {
				message = appendAnnouncement(nil, i, i+1, feederAddr)
			}
			began := time.Now()
			if err := t.feeder.send(message); err != nil {
				return err
			}
			if err := t.awaitOne(ctx, i, present); err != nil {
				return err
			}
			took = append(took, time.Since(began).Seconds()*1e3)
		}
	}
	after, err := total(t.procs, cpuSeconds)
	t.sample[fullChange] = quantile(took, 0.5)
	t.sample[fullChangeCPU] = (after - before) * 1e3 / float64(len(took))
	return err
}
