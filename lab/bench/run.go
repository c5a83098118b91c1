package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// turnSlack is what a turn may take beyond its tests.
const turnSlack = 60 * time.Second

// entrant is a contender on an underlay of its own.
type entrant struct {
	contender
	pair   *pair
	result *result
}

// runRounds measures the contenders and puts their samples into the report.
func runRounds(ctx context.Context, o options, chosen []contender, r *report) (err error) {
	var all []*entrant
	defer func() {
		for _, e := range all {
			err = errors.Join(err, e.pair.Close())
		}
	}()
	r.Contenders = make(results, len(chosen))
	for i, c := range chosen {
		p, err := newPair(ctx)
		if err != nil {
			return err
		}
		all = append(all, &entrant{c, p, &r.Contenders[i]})
		if r.Contenders[i], err = enter(ctx, p, c); err != nil {
			return err
		}
	}
	for round := range o.rounds {
		first := round % len(all) // whoever comes after a test of many streams finds the machine warm
		order := slices.Concat(all[first:], all[:first])
		if err := runRound(ctx, order, o.seconds, fmt.Sprintf("round %d of %d", round+1, o.rounds)); err != nil {
			return err
		}
	}
	return nil
}

// runRound starts all contenders and has them take turns at each test: what is compared
// was measured within seconds, whatever else the machine had to do then.
func runRound(ctx context.Context, all []*entrant, seconds int, title string) (err error) {
	var turns []*turn
	defer func() {
		for _, t := range turns {
			err = errors.Join(err, t.stop(ctx))
		}
	}()
	for _, e := range all {
		t, err := begin(ctx, e.pair, e.contender, seconds)
		if err != nil {
			return err
		}
		turns = append(turns, t)
	}
	for _, test := range tests {
		fmt.Printf("%s: %s\n", title, test.title)
		for _, t := range turns {
			if err := t.measure(ctx, test.run); err != nil {
				return err
			}
		}
	}
	for i, t := range turns {
		t.addTo(all[i].result)
	}
	return nil
}

// enter prepares a contender for turns on an underlay.
func enter(ctx context.Context, p *pair, c contender) (result, error) {
	version, err := c.version(ctx)
	if err != nil {
		return result{}, err
	}
	if err := c.prepare(ctx, p); err != nil {
		return result{}, fmt.Errorf("%s: %w", c.name(), err)
	}
	return result{Name: c.name(), Title: c.title(), Version: version}, nil
}

// turn is a contender that runs and is being measured.
type turn struct {
	contender contender
	measurement
}

// begin starts a contender, and returns once it answers.
func begin(ctx context.Context, p *pair, c contender, seconds int) (*turn, error) {
	ctx, cancel := context.WithTimeout(ctx, turnSlack)
	defer cancel()
	t := &turn{c, measurement{pair: p, seconds: seconds, sample: sample{}}}
	began := time.Now()
	var err error
	t.session, err = c.start(ctx, p)
	if err == nil {
		err = t.firstPing(ctx, began)
	}
	if err == nil {
		err = t.checkCongestion(ctx)
	}
	if err != nil {
		err = t.explain(err)
		_ = t.stop(ctx) // the first failure is the one that tells
		return nil, err
	}
	return t, nil
}

// measure runs one test.
func (t *turn) measure(ctx context.Context, test func(*measurement, context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, turnSlack+time.Duration(2*t.seconds)*time.Second)
	defer cancel()
	return t.explain(test(&t.measurement, ctx))
}

// explain adds to an error whose it is, and what the contender logged.
func (t *turn) explain(err error) error {
	if err == nil {
		return nil
	}
	logs := ""
	if t.session != nil {
		for _, proc := range t.session.ends {
			logs += "\nits log:\n" + tail(proc.Log())
		}
	}
	return fmt.Errorf("%s: %w%s", t.contender.name(), err, logs)
}

func (t *turn) stop(ctx context.Context) error { return t.session.stop(ctx) }

// addTo adds the figures to the contender's result.
func (t *turn) addTo(res *result) {
	res.noteCongestion(t.congestion)
	res.add(t.sample)
}
