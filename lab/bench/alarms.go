package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	falseAlarms  metric = "false_alarms"
	alarmsStream metric = "alarms_streams_gbps"
)

// alarmsPart counts tunnels that are taken for dead while both lines carry all that they are given.
func alarmsPart(o options, bin string) part {
	size := max(2, o.prefixes/5)
	p := part{
		name:  "alarms",
		title: fmt.Sprintf("Full load for %v, and %d prefixes arrive under it", o.load, size),
		note: fmt.Sprintf(`Nothing fails. %d TCP streams go over both lines, as many as these and the processors carry, and meanwhile B passes on to A what the
feeder announces. What is counted are tunnels that either end took for dead.
`, streams),
		figures: []figure{{falseAlarms, "tunnels taken for dead"}, {alarmsStream, "the streams together, Gbit/s"}},
		limits:  forBoth("full load, tunnels taken for dead", falseAlarms, 0),
	}
	for _, transport := range []string{transportTLS, transportWireGuard} {
		r := &redundantWarren{bin, o.timers(transport)}
		p.participants = append(p.participants, participant{id: r.name(), title: r.title(), needs: append(r.needs(), "iperf3"), version: r.version,
			turn: func(ctx context.Context) (sample, error) { return alarmsTurn(ctx, r, size, o.load) }})
	}
	return p
}

func alarmsTurn(ctx context.Context, r *redundantWarren, prefixes int, load time.Duration) (s sample, err error) {
	l, err := newLines(ctx, 2, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	f, err := newFeed(ctx, l.Topology, l.b(), 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	c := r.config
	c.prefixes, c.fed, c.transit = prefixes, l.b(), true
	w, err := startLineWarrens(ctx, l, warrenFile(r.bin), c, f)
	if err != nil {
		return nil, err
	}
	s = sample{}
	return s, watched(ctx, w.procs(), func(ctx context.Context) error {
		fs, err := f.accept(ctx)
		if err != nil {
			return err
		}
		defer fs.close()
		st := &standing{lines: l, feeders: fs}
		if err := st.await(ctx, countInterval, func() error { return w.ready(ctx, len(l.providers), 0) }); err != nil {
			return err
		}
		if s[alarmsStream], err = l.loaded(ctx, load, func(ctx context.Context) error {
			if err := fs.sendAll(ctx, func(f *feeder) []byte { return fullTable(prefixes, f.source) }); err != nil {
				return err
			}
			return st.await(ctx, countInterval, func() error { return w.ready(ctx, len(l.providers), prefixes) })
		}); err != nil {
			return err
		}
		s[falseAlarms] = float64(w.tunnelDowns())
		return nil
	})
}

// loaded runs f while streams go from A to B, for the time of load, and returns what arrived of them, in Gbit/s.
func (l *lines) loaded(ctx context.Context, load time.Duration, f func(context.Context) error) (rate float64, err error) {
	for i := range streams {
		port := iperfPort + i
		server, err := l.b().Start("iperf3", "-s", "-p", fmt.Sprint(port))
		if err != nil {
			return 0, err
		}
		defer server.Kill9()
		if err := awaitPort(ctx, l.b(), port); err != nil {
			return 0, err
		}
	}
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var all sync.WaitGroup
	sums, errs := make([]streamSum, streams), make([]error, streams+1)
	for i := range streams {
		all.Go(func() { sums[i], errs[i] = tcpStream(ctx, l.a, siteB, iperfPort+i, 0, int(load.Seconds())) })
	}
	all.Go(func() {
		if errs[streams] = f(ctx); errs[streams] != nil {
			giveUp()
		}
	})
	all.Wait()
	for _, sum := range sums {
		rate += sum.BitsPerSecond / 1e9
	}
	return rate, errors.Join(errs...)
}
