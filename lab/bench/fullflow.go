package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"warren/lab/topo"
)

const (
	flowQuietLost metric = "flow_in_quiet_lost"
	flowQuietGap  metric = "flow_in_quiet_gap_ms"
	flowLost      metric = "flow_lost"
	flowGap       metric = "flow_gap_ms"
)

// flowTables is how often the other peer sends its table, each time by other paths.
const flowTables = 3

// flowQuiet is how long the flow goes on in quiet.
const flowQuiet = 10 * time.Second

func flowPart(o options, bin string) part {
	size := max(1, o.prefixes/5)
	p := part{
		name:  "flow",
		title: fmt.Sprintf("A tunnel's packets while another peer sends %d prefixes %d times", size, flowTables),
		note: fmt.Sprintf(`Packets of 64 bytes, 1 ms apart, go both ways through one tunnel. First for %v in quiet. Then another peer
announces the prefixes, and again by other paths, and again, and its session ends: the flow goes on until the last
route has left and the daemon has nothing to do. The gap is the longest between two packets that arrived, by the
kernel's time stamps; gap and loss are of the direction that fared worse.
`, flowQuiet),
		figures: []figure{
			{flowQuietLost, "in quiet, packets lost"},
			{flowQuietGap, "in quiet, longest gap, ms"},
			{flowLost, "meanwhile, packets lost"},
			{flowGap, "meanwhile, longest gap, ms"},
		},
		participants: warrenParticipants(bin, func(ctx context.Context, bin, transport string) (sample, error) {
			return flowTurn(ctx, bin, transport, size)
		}),
	}
	for _, w := range []string{nameWarren, nameWarrenWireGuard} {
		p.limits = append(p.limits, limit{w, w + ": packets lost while another peer sends", flowLost, 0},
			limit{w, w + ": longest gap while another peer sends, ms", flowGap, 40})
	}
	return p
}

func flowTurn(ctx context.Context, bin, transport string, prefixes int) (_ sample, err error) {
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
	kernel, err := newKernelRoutes(l.a)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kernel.close()) }()
	// The far end does not hear of what A is fed.
	w, err := startLineWarrens(ctx, l, bin, lineConfig{transport: transport, prefixes: prefixes, fed: l.a}, f)
	if err != nil {
		return nil, err
	}
	t := &fullTurn{fullDaemon: &fullDaemon{procs: w.procs(), kernel: kernel}, sample: sample{}}
	return t.sample, watched(ctx, t.procs, func(ctx context.Context) error {
		if t.feeders, err = f.accept(ctx); err != nil {
			return err
		}
		defer t.feeders.close()
		_, err := topo.Eventually(ctx, countInterval, fullReady, func() error { return w.ready(ctx, 1, 1) })
		if err != nil {
			return err
		}
		if err := quiet(ctx, t.procs); err != nil {
			return err
		}
		return t.disturb(ctx, l, prefixes)
	})
}

// disturb measures the flow in quiet, and beside the tables.
func (t *fullTurn) disturb(ctx context.Context, l *lines, prefixes int) error {
	ways := []way{{l.a, []*topo.Host{l.b()}, siteA, siteB}, {l.b(), []*topo.Host{l.a}, siteB, siteA}}
	calm, err := withFlows(ctx, ways, func() error { return pause(ctx, flowQuiet) })
	if err != nil {
		return err
	}
	t.sample[flowQuietLost], t.sample[flowQuietGap] = float64(calm.lost), calm.gapMS
	busy, err := withFlows(ctx, ways, func() error {
		for n := range flowTables {
			s := t.feeders[0].source
			s.path = uint32(n)
			if err := t.feeders.sendAll(ctx, func(*feeder) []byte { return fullTable(prefixes, s) }); err != nil {
				return err
			}
		}
		if _, err := t.await(ctx, prefixes, true); err != nil {
			return err
		}
		t.feeders.close()
		t.feeders = nil
		if _, err := t.await(ctx, prefixes, false); err != nil {
			return fmt.Errorf("the other peer has gone: %w", err)
		}
		return pause(ctx, quietSpan)
	})
	t.sample[flowLost], t.sample[flowGap] = float64(busy.lost), busy.gapMS
	return err
}

// withFlows runs f while packets flow.
func withFlows(ctx context.Context, ways []way, f func() error) (flowFigures, error) {
	fs, err := startFlows(ctx, ways)
	if err != nil {
		return flowFigures{}, err
	}
	if err := f(); err != nil {
		return flowFigures{}, err
	}
	return fs.stop(ctx)
}
