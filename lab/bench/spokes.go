package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"warren/lab/topo"
)

// What tunnels between spokes and hubs are measured with: the defaults. With hundreds at a hub the least that the
// configuration allows would be a flood of keepalives, and all spokes share the processors of one machine.
const (
	spokesKeepalive = time.Second
	spokesDeadAfter = 3 * time.Second
)

const (
	spokesKilledMedian metric = "hub_killed_median_ms"
	spokesKilledWorst  metric = "hub_killed_worst_ms"
	spokesReturnLost   metric = "hub_returns_lost"
	spokesCutMedian    metric = "hub_cut_median_ms"
	spokesCutWorst     metric = "hub_cut_worst_ms"
	spokesMemory       metric = "hub_memory_mb"
	spokesIdleCPU      metric = "hub_idle_cpu_percent"
	spokesLossCPU      metric = "other_hub_cpu_s"
)

// spokesSpan is how long hubs idle while their processor time is read.
const spokesSpan = 10 * time.Second

// spokesPart measures how soon spokes reach one another by the other hub when one is lost.
func spokesPart(o options, bin string) part {
	p := part{
		name:  "spokes",
		title: fmt.Sprintf("%d spokes with a tunnel to each of two hubs, of which one is lost", o.spokes),
		note: fmt.Sprintf(`Each spoke is a Warren of its own, with a prefix of its own, and uses both tunnels; the hubs have a tunnel between them. keepalive
is %v, dead_after %v. Each spoke sends a packet to each of %d others every %v, and from each of as many it gets one. How long
a pair is parted is the longest time between the sending of two packets that arrived. One hub is killed (SIGKILL), started
again, and then the other one is cut off from all networks without a word. Thereafter every spoke sends to every other one,
until all of that has arrived.
`, spokesKeepalive, spokesDeadAfter, len(spokeStrides), spokeInterval),
		figures: []figure{
			{spokesKilledMedian, "hub killed, median of pairs, ms"}, {spokesKilledWorst, "hub killed, worst pair, ms"},
			{spokesReturnLost, "hub is back, packets lost"},
			{spokesCutMedian, "hub cut off, median of pairs, ms"}, {spokesCutWorst, "hub cut off, worst pair, ms"},
			{spokesMemory, "memory of a hub, MB"}, {spokesIdleCPU, "processor time of an idle hub, % of one"},
			{spokesLossCPU, "processor time of the other hub at the cut, s"},
		},
	}
	for _, transport := range []string{transportTLS, transportWireGuard} {
		w := &warren{bin: bin, transport: transport}
		p.participants = append(p.participants, participant{id: w.name(), title: w.title(), needs: []string{warrenFile(bin)}, version: w.version,
			turn: func(ctx context.Context) (sample, error) {
				return spokesTurn(ctx, warrenFile(bin), transport, o.spokes)
			}})
	}
	p.limits = append(forBoth("hub cut off, worst pair, ms"+options{deadAfter: spokesDeadAfter}.detection(), spokesCutWorst, 200+millis(spokesDeadAfter)),
		forBoth("hub is back, packets lost", spokesReturnLost, 0)...)
	return p
}

// spokesTurn starts hubs and spokes, and loses one hub after the other.
func spokesTurn(ctx context.Context, bin, transport string, n int) (s sample, err error) {
	net, err := newSpokeNet(ctx, n)
	if err != nil {
		return nil, err
	}
	// The kernel takes longer to remove hundreds of interfaces than Close waits.
	defer func() { err = errors.Join(err, end(net.routers()...), net.Close()) }()
	if err := net.start(ctx, bin, transport); err != nil {
		return nil, err
	}
	lasting := []*topo.Process{net.hubs[1].Process}
	for _, w := range net.spokes {
		lasting = append(lasting, w.Process)
	}
	s = sample{}
	ctx, stop := giveUpWith(ctx, lasting)
	defer stop()
	if err := net.measure(ctx, s); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		err = fmt.Errorf("%w\n%s", err, net.lacking(context.WithoutCancel(ctx)))
		for _, w := range []*topo.Warren{net.hubs[0], net.hubs[1], net.spokes[0]} {
			err = fmt.Errorf("%w\nlog of %s:\n%s", err, w.Host.Name, tail(w.Process.Log()))
		}
		return nil, err
	}
	return s, nil
}

// measure waits until all tunnels carry all, and fills in the figures.
func (net *spokeNet) measure(ctx context.Context, s sample) (err error) {
	if err := net.awaitReady(ctx, 2); err != nil {
		return err
	}
	hub := []*topo.Process{net.hubs[1].Process}
	if err := quiet(ctx, hub); err != nil {
		return err
	}
	if s[spokesMemory], err = megabytes(hub, residentBytes); err != nil {
		return err
	}
	took, err := cpuDuring(hub[0], func() error { return pause(ctx, spokesSpan) })
	if err != nil {
		return err
	}
	s[spokesIdleCPU] = 100 * took / spokesSpan.Seconds()
	m, err := newSpokeMesh(net)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.all(ctx); err != nil {
		return err
	}

	killed, err := m.during(ctx, func() error {
		net.hubs[0].Process.Kill9()
		return net.awaitReady(ctx, 1)
	})
	if err != nil {
		return fmt.Errorf("a hub is killed: %w", err)
	}
	s[spokesKilledMedian], s[spokesKilledWorst] = killed.medianMS, killed.worstMS

	back, err := m.during(ctx, func() error {
		return net.revive(ctx)
	})
	if err != nil {
		return fmt.Errorf("the hub is back: %w", err)
	}
	s[spokesReturnLost] = float64(back.lost)

	var cut spokeFigures
	s[spokesLossCPU], err = cpuDuring(net.hubs[0].Process, func() (err error) {
		cut, err = m.during(ctx, func() error {
			if err := net.links[1].Blackhole(ctx); err != nil {
				return err
			}
			return net.awaitReady(ctx, 1)
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("a hub is cut off: %w", err)
	}
	s[spokesCutMedian], s[spokesCutWorst] = cut.medianMS, cut.worstMS
	return nil
}

// cpuDuring is how many seconds of processor time a process and its children take while f runs.
func cpuDuring(p *topo.Process, f func() error) (float64, error) {
	before, err := cpuSeconds(p.PID())
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := cpuSeconds(p.PID())
	return after - before, err
}
