package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"warren/lab/topo"
)

const (
	chainFill      metric = "chain_fill_s"
	chainUnsettled metric = "chain_unsettled"
	chainDowns     metric = "chain_tunnel_downs"
)

// chainHolds is how long all must stay as it is for the chain to count as settled.
const chainHolds = 10 * time.Second

func chainPart(o options, bin string) part {
	return part{
		name:  "chain",
		title: fmt.Sprintf("%d prefixes through two Warrens", o.prefixes),
		note: fmt.Sprintf(`A feeder announces them to one Warren, which announces them to the other, in a tunnel of the kind named above. The time is from the
first UPDATE until the kernel of the second has all. It has settled if that is so within %v and stays so for %v.
Both logs are counted for tunnels that went down.
`, fullWithin, chainHolds),
		figures: []figure{
			{chainFill, "first UPDATE to last route of the second, s"},
			{chainUnsettled, "settled (0) or not (1)"},
			{chainDowns, "tunnels that went down"},
		},
		limits: []limit{
			{nameWarren, "two in a chain over TLS: not settled", chainUnsettled, 0},
			{nameWarrenWireGuard, "two in a chain over WireGuard: not settled", chainUnsettled, 0},
			{nameWarren, "two in a chain over TLS: tunnels that went down", chainDowns, 0},
			{nameWarrenWireGuard, "two in a chain over WireGuard: tunnels that went down", chainDowns, 0},
		},
		participants: warrenParticipants(bin, func(ctx context.Context, bin, transport string) (sample, error) {
			return chainTurn(ctx, bin, transport, o.prefixes)
		}),
	}
}

func chainTurn(ctx context.Context, bin, transport string, prefixes int) (_ sample, err error) {
	l, err := newLines(ctx, 1, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	f, err := newFeed(ctx, l.Topology, l.a, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	kernel, err := newKernelRoutes(l.b())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kernel.close()) }()
	w, err := startLineWarrens(ctx, l, bin, lineConfig{transport: transport, prefixes: prefixes, fed: l.a, transit: true, probed: true}, f)
	if err != nil {
		return nil, err
	}
	t := &fullTurn{fullDaemon: &fullDaemon{procs: w.procs(), kernel: kernel}, sample: sample{}}
	err = watched(ctx, t.procs, func(ctx context.Context) error {
		if t.feeders, err = f.accept(ctx); err != nil {
			return err
		}
		defer t.feeders.close()
		_, err := topo.Eventually(ctx, countInterval, fullReady, func() error { return w.ready(ctx, 1, 0) })
		if err != nil {
			return err
		}
		return t.chain(ctx, w, prefixes)
	})
	return t.sample, err
}

// chain sends the table. That it does not settle is a figure, not an error.
func (t *fullTurn) chain(ctx context.Context, w *lineWarren, prefixes int) error {
	began := time.Now()
	sending, giveUp := context.WithCancel(ctx)
	defer giveUp()
	sent := make(chan error, 1)
	go func() {
		sent <- t.feeders.sendAll(sending, func(f *feeder) []byte { return fullTable(prefixes, f.source) })
	}()
	at, err := t.await(ctx, prefixes, true)
	if err == nil {
		err = topo.Throughout(ctx, chainHolds/4, chainHolds, func() error {
			return (&scan{has: t.kernel.has, prefixes: prefixes, present: true}).look()
		})
	}
	failed := t.feeders.failed()
	giveUp()
	failed = errors.Join(failed, <-sent)
	if ctx.Err() != nil || err == nil && failed != nil {
		return errors.Join(ctx.Err(), failed)
	}
	t.sample[chainDowns] = float64(w.tunnelDowns())
	t.sample[chainUnsettled] = 1
	if err != nil {
		fmt.Println("chain: not settled:", err)
		return nil
	}
	t.sample[chainUnsettled], t.sample[chainFill] = 0, at.Sub(began).Seconds()
	return nil
}
