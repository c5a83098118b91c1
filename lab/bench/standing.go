package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"warren/lab/topo"
)

const (
	// failoverSettle is how long flows run before something fails, and after all works again.
	failoverSettle = 2 * time.Second
	failoverWithin = 2 * time.Minute
)

// redundant keeps A and B joined over two lines.
type redundant interface {
	named
	title() string
	needs() []string
	version(ctx context.Context) (string, error)
	// routes tells whether it carries prefixes.
	routes() bool
	// start starts both ends, and does not wait. A feeder announces so many prefixes to B.
	start(ctx context.Context, l *lines, f *feed, prefixes int) (*standing, error)
}

// standing is one that runs.
type standing struct {
	lines *lines
	// procs are all processes, of both ends; lasting are those that no restart ends.
	procs, lasting []*topo.Process
	// ready returns nil if both lines carry all that they are to carry.
	ready func(context.Context) error
	// stopStart stops A's daemon and starts it again, restart does it in the daemon's own way; nil: it has none.
	stopStart, restart func(context.Context) error
	// addrA and addrB are where flows go to, beside the prefixes.
	addrA, addrB string
	ways         []way
	feeders      feeders
}

// withStanding starts a contender, waits until both lines carry all, and runs f.
func withStanding(ctx context.Context, c redundant, prefixes int, f func(context.Context, *standing) error) (err error) {
	l, err := newLines(ctx, 2, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	fed := &feed{}
	if c.routes() {
		if fed, err = newFeed(ctx, l.Topology, l.b(), 1); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, fed.close()) }()
	st, err := c.start(ctx, l, fed, prefixes)
	if err != nil {
		return err
	}
	st.lines = l
	return watched(ctx, st.lasting, func(ctx context.Context) error {
		if c.routes() {
			if st.feeders, err = fillLines(ctx, l, fed, st.procs, prefixes, func() error { return st.ready(ctx) }); err != nil {
				return st.explain(err)
			}
			defer st.feeders.close()
		}
		if err := st.addWays(ctx, c, prefixes); err != nil {
			return err
		}
		if err := st.awaitReady(ctx); err != nil {
			return err
		}
		return st.explain(f(ctx, st))
	})
}

// explain adds the logs of the processes that a restart may end.
func (st *standing) explain(err error) error {
	if err == nil {
		return nil
	}
	for _, p := range st.procs {
		err = fmt.Errorf("%w\nlog of %v:\n%s", err, p, tail(p.Log()))
	}
	return err
}

// addWays has B take packets to some of the prefixes, and lists where packets are to flow.
func (st *standing) addWays(ctx context.Context, c redundant, prefixes int) error {
	a, b := st.lines.a, st.lines.b()
	st.ways = []way{{a, []*topo.Host{b}, st.addrA, st.addrB}, {b, []*topo.Host{a}, st.addrB, st.addrA}}
	if !c.routes() {
		return nil
	}
	for _, i := range slices.Compact([]int{0, prefixes / 2, prefixes - 1}) {
		addr := fullPrefix(i).Addr().Next().String()
		if err := b.IP(ctx, "route replace local "+addr+"/32 dev lo table local"); err != nil {
			return err
		}
		st.ways = append(st.ways, way{a, []*topo.Host{b}, st.addrA, addr})
	}
	return nil
}

// during runs f while packets flow, from before it until after all of them arrive again.
func (st *standing) during(ctx context.Context, f func() error) (flowFigures, error) {
	return withFlows(ctx, st.ways, func() error {
		if err := pause(ctx, failoverSettle); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
		if err := st.awaitPings(ctx); err != nil {
			return err
		}
		return pause(ctx, failoverSettle)
	})
}

// cut breaks the line that carries most.
func (st *standing) cut(ctx context.Context, how func(provider, context.Context) error) error {
	i, err := st.lines.busiest(ctx)
	if err != nil {
		return err
	}
	return how(st.lines.providers[i], ctx)
}

// restarted restarts A's daemon, and waits until all is as it was.
func (st *standing) restarted(ctx context.Context, how func(context.Context) error) error {
	if err := how(ctx); err != nil {
		return err
	}
	return st.awaitReady(ctx)
}

func (st *standing) awaitReady(ctx context.Context) error {
	return st.await(ctx, countInterval, func() error { return st.ready(ctx) })
}

// await waits until look returns nil. It gives up when a feeder's session has ended.
func (st *standing) await(ctx context.Context, interval time.Duration, look func() error) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	_, err := topo.Eventually(ctx, interval, failoverWithin, func() error {
		if err := st.feeders.failed(); err != nil {
			giveUp(err)
			return err
		}
		return look()
	})
	return err
}

// awaitPings waits until an answer comes from wherever packets flow to.
func (st *standing) awaitPings(ctx context.Context) error {
	for _, w := range st.ways {
		if err := st.await(ctx, 50*time.Millisecond, func() error { return pings(ctx, w) }); err != nil {
			return err
		}
	}
	return nil
}

func pings(ctx context.Context, w way) error {
	_, err := w.from.Run(ctx, "ping", "-n", "-q", "-c", "1", "-W", "1", "-I", w.src, w.dst)
	return err
}
