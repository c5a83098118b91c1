package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"warren/lab/path"
)

// What -congestion measures beside what -paths does.
const (
	lineShare    metric = "line_share"
	outsidePing  metric = "outside_ping_median_ms"
	queueDropped metric = "queue_dropped_percent"
	benchLost    metric = "bench_lost_percent"
)

// longSendBuffer is what Linux has for receiving. With the 4 MiB that it has for sending, these bound what is sent over
// 300 ms, and not the path or who controls congestion.
const longSendBuffer = 32 << 20

// outsideInterval is that of pings that see the path's queue and are not to fill it.
const outsideInterval = 100 * time.Millisecond

const congestionNotes = `The path in the middle of the grid has a round trip of 20 ms, a rate of 100 Mbit/s in each direction, a queue before
it that is as long as the round trip (what does not fit into it is dropped), and no loss. Each other row changes one thing
of it; a queue is told in round trips, so it is longer where those are. Losses are as in [bench-paths.md](bench-paths.md),
each by itself or several in a row (the model of Gilbert), before the queue, in either direction.

The streams inside are iperf3 with cubic in all columns; the columns of Warren tell what the connection outside uses, which
carries them. A stream counts once it has run for 20 round trips, and then for 60 of them, 4 s at least. A share of
the line is TCP's payload: headers leave 0.96 of it without a tunnel. The ends' sockets may have 32 MiB to send, as for
receiving, instead of Linux' 4, which would bound what goes over 300 ms. Pings go beside the one stream in the tunnel, 100 a
second, and count if they came back; those outside the tunnel, 10 a second, see the path's queue alone. What the queue
dropped is of all that came to it while the one stream counted.

Then one stream in the tunnel and one with cubic outside it begin together, and run for twice as long. Of what both carry, 0.5
is fair; in the column without a tunnel both are outside. Whether the tunnel kept the one outside from anything is seen
by its share of the line, held against that of the column without a tunnel.

The last table tells how far the figures can be trusted: the bench carries the packets itself, and those that it had too
little processor time for are lost too. In each round all run one after the other, each started afresh. Figures are medians over the rounds.
`

// congestionFigures are those of each path.
var congestionFigures = []figure{
	{lineShare, "one stream, share of the line"},
	{loadedPing, "ping beside it, median, ms"},
	{loadedPing99, "ping beside it, p99, ms"},
	{insideShare, "one stream inside and one with cubic outside, share of both for the one inside"},
	{outsideLineShare, "share of the line for the one outside"},
	{weakerShare, "share of both for the weaker"},
	{outsidePing, "ping beside one stream, outside the tunnel, median, ms"},
	{queueDropped, "dropped by the queue meanwhile, %"},
	{benchLost, "lost by the bench itself, %"},
}

// congestionSuite measures the congestion controls of Warren's connections over TLS on a grid of paths around one in the middle.
func congestionSuite(o options, bin string) *suite {
	s := &suite{
		name:   "congestion",
		title:  "Bench of congestion controls",
		intro:  "Congestion controls of the connection outside, on paths of which each but the first changes one thing",
		notes:  congestionNotes,
		choice: o.congestion,
		rounds: 1,
		inRows: [][]metric{{lineShare, loadedPing, loadedPing99}, {insideShare, outsideLineShare}},
	}
	for _, p := range congestionPaths() {
		part := part{name: p.name, title: p.title, note: p.note(), figures: congestionFigures}
		for _, c := range congestionContenders(bin) {
			part.participants = append(part.participants, participant{
				id: c.name(), title: c.title(), needs: pathNeeds, version: c.version,
				turn: func(ctx context.Context) (sample, error) {
					return onPath(ctx, p.wire, c, o.seconds, streamAndQueue, sharedBottleneck)
				},
			})
		}
		s.parts = append(s.parts, part)
	}
	return s
}

func congestionContenders(bin string) []contender {
	return []contender{
		bare{},
		&warren{bin: bin, transport: transportTLS, congestion: congestionControl},
		&warren{bin: bin, transport: transportTLS, congestion: "bbr"},
	}
}

// congestionPaths are the grid.
func congestionPaths() []lossyPath {
	const ms = time.Millisecond
	on := func(roundTrip time.Duration, megabits, trips float64, loss path.Loss) wire { // a queue of so many round trips
		return wire{delay: roundTrip / 2, rate: 1e6 * megabits, queue: time.Duration(trips * float64(roundTrip)), loss: loss,
			sendBuffer: longSendBuffer}
	}
	lossy := func(share, run float64) wire { return on(20*ms, 100, 1, path.Loss{Share: share, Run: run}) }
	var none path.Loss
	return []lossyPath{
		{"middle", "20 ms, 100 Mbit/s, queue of one round trip, no loss", on(20*ms, 100, 1, none)},
		{"5ms", "5 ms", on(5*ms, 100, 1, none)},
		{"100ms", "100 ms", on(100*ms, 100, 1, none)},
		{"300ms", "300 ms", on(300*ms, 100, 1, none)},
		{"10mbit", "10 Mbit/s", on(20*ms, 10, 1, none)},
		{"1gbit", "1 Gbit/s", on(20*ms, 1000, 1, none)},
		{"shallow", "queue of a quarter of the round trip", on(20*ms, 100, 0.25, none)},
		{"deep", "queue of five round trips", on(20*ms, 100, 5, none)},
		{"little", "0.1 % lost", lossy(0.001, 1)},
		{"lossy", "1 % lost", lossy(0.01, 1)},
		{"bursts", "1 % lost, 8 in a row", lossy(0.01, 8)},
		{"worse", "5 % lost", lossy(0.05, 1)},
	}
}

// pathCounts are what has become of the packets from A to B so far.
type pathCounts struct{ carried, dropped, overrun float64 }

func countPath(w *wire) pathCounts {
	count := func(k path.Kind) float64 { return float64(w.path.Count(path.A, k)) }
	return pathCounts{count(path.Passed), count(path.Dropped), count(path.Overrun)}
}

// streamAndQueue sends one stream, and sees what the queue does meanwhile.
func streamAndQueue(ctx context.Context, w *wire, m *measurement) error {
	var before pathCounts
	var outside []float64
	var outsideErr error
	var wg sync.WaitGroup
	wg.Go(func() { outside, _, outsideErr = m.pingBeside(ctx, underlayB, outsideInterval) })
	wg.Go(func() {
		select {
		case <-time.After(time.Duration(m.startUp) * time.Second):
		case <-ctx.Done():
		}
		before = countPath(w)
	})
	sum, err := m.pingedStream(ctx, lossPing)
	wg.Wait()
	if err := errors.Join(err, outsideErr); err != nil {
		return err
	}
	after := countPath(w)
	dropped, overrun := after.dropped-before.dropped, after.overrun-before.overrun
	came := after.carried - before.carried + dropped + overrun
	m.sample[lineShare] = sum.BitsPerSecond / w.rate
	m.sample[outsidePing] = quantile(outside, 0.5)
	m.sample[queueDropped], m.sample[benchLost] = 100*dropped/came, 100*overrun/came
	return nil
}
