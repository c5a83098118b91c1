package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	stopTook metric = "stop_s"
	stopLeft metric = "stop_routes_left"
)

func stopPart(o options, bin string) part {
	return part{
		name:  "stop",
		title: fmt.Sprintf("Stop with %d prefixes", o.prefixes),
		note: `All processes of the router get SIGTERM. The time is until they have ended; then the prefixes are counted for which
the kernel still has a route.
`,
		figures: []figure{{stopTook, "SIGTERM to the end, s"}, {stopLeft, "routes left"}},
		limits: []limit{{nameWarren, "stop with a full table, s", stopTook, 6},
			{nameWarren, "stop with a full table: routes left", stopLeft, 0}},
		participants: takingTurns(bin, false, func(ctx context.Context, r fullRouter) (sample, error) {
			return stopTurn(ctx, r, o.prefixes)
		}),
	}
}

func stopTurn(ctx context.Context, c fullRouter, prefixes int) (_ sample, err error) {
	p, err := newFullPair(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	daemon, err := c.start(ctx, p, prefixes)
	if err != nil {
		return nil, err
	}
	t := &fullTurn{fullDaemon: daemon, sample: sample{}}
	defer func() { t.feeders.close() }()
	err = watched(ctx, t.procs, func(ctx context.Context) error {
		if t.feeders, err = p.feed.accept(ctx); err != nil {
			return err
		}
		return t.fill(ctx, prefixes)
	})
	if err != nil {
		return nil, err
	}
	return t.stop(ctx, prefixes)
}

// stop ends the router, which is meant to end now.
func (t *fullTurn) stop(ctx context.Context, prefixes int) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, fullWithin)
	defer cancel()
	began := time.Now()
	ended := make(chan error)
	for _, p := range t.procs {
		go func() { ended <- p.Stop(ctx) }()
	}
	var errs []error
	for range t.procs {
		errs = append(errs, <-ended)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return sample{stopTook: time.Since(began).Seconds(), stopLeft: float64(t.kernel.count(prefixes))}, nil
}
