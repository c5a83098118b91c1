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
	for _, c := range chosen {
		version, err := c.version(ctx)
		if err != nil {
			return err
		}
		if err := c.prepare(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", c.name(), err)
		}
		r.Contenders = append(r.Contenders, result{Name: c.name(), Title: c.title(), Version: version})
	}
	for round := range o.rounds {
		for i, c := range chosen {
			fmt.Printf("round %d of %d: %s\n", round+1, o.rounds, c.title())
			res := &r.Contenders[i]
			s, err := takeTurn(ctx, p, c, o.seconds, res)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name(), err)
			}
			res.Rounds = append(res.Rounds, s)
		}
	}
	for i := range r.Contenders {
		r.Contenders[i].Median = medians(r.Contenders[i].Rounds)
	}
	return nil
}

// takeTurn starts a contender, measures it, and stops it.
func takeTurn(ctx context.Context, p *pair, c contender, seconds int, res *result) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, turnSlack+time.Duration(6*seconds)*time.Second)
	defer cancel()
	m := &measurement{pair: p, seconds: seconds, sample: sample{}}
	began := time.Now()
	session, err := c.start(ctx, p)
	m.session = session
	if err == nil {
		err = m.all(ctx, began)
	}
	if err != nil {
		logs := ""
		for _, proc := range session.ends {
			logs += "\nits log:\n" + tail(proc.Log())
		}
		_ = session.stop(ctx) // the first failure is the one that tells
		return nil, fmt.Errorf("%w%s", err, logs)
	}
	res.noteCongestion(m.congestion)
	return m.sample, session.stop(ctx)
}
