package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// turnSlack is what a turn may take beyond its tests.
const turnSlack = 60 * time.Second

// runRounds lets the contenders take turns and puts their samples into the report.
func runRounds(ctx context.Context, o options, chosen []contender, r *report) (err error) {
	p, err := newPair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if r.Contenders, err = enter(ctx, p, chosen); err != nil {
		return err
	}
	for round := range o.rounds {
		for i, c := range chosen {
			fmt.Printf("round %d of %d: %s\n", round+1, o.rounds, c.title())
			if err := takeTurn(ctx, p, c, o.seconds, &r.Contenders[i], (*measurement).all); err != nil {
				return err
			}
		}
	}
	return nil
}

// enter prepares the contenders for turns in a pair.
func enter(ctx context.Context, p *pair, chosen []contender) ([]result, error) {
	var out []result
	for _, c := range chosen {
		version, err := c.version(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.prepare(ctx, p); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name(), err)
		}
		out = append(out, result{Name: c.name(), Title: c.title(), Version: version})
	}
	return out, nil
}

// takeTurn starts a contender, measures it once it answers, stops it, and adds
// the figures to its result.
func takeTurn(ctx context.Context, p *pair, c contender, seconds int, res *result,
	tests func(*measurement, context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, turnSlack+time.Duration(6*seconds)*time.Second)
	defer cancel()
	m := &measurement{pair: p, seconds: seconds, sample: sample{}}
	began := time.Now()
	session, err := c.start(ctx, p)
	m.session = session
	if err == nil {
		err = m.firstPing(ctx, began)
	}
	if err == nil {
		err = m.checkCongestion(ctx)
	}
	if err == nil {
		err = tests(m, ctx)
	}
	if err != nil {
		logs := ""
		for _, proc := range session.ends {
			logs += "\nits log:\n" + tail(proc.Log())
		}
		_ = session.stop(ctx) // the first failure is the one that tells
		return fmt.Errorf("%s: %w%s", c.name(), err, logs)
	}
	res.noteCongestion(m.congestion)
	res.add(m.sample)
	return session.stop(ctx)
}
