package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"warren/lab/path"
)

// Of one stream in the tunnel and one outside it: what the one inside gets of both, what the weaker one gets, and what the one outside
// gets of the line.
const (
	insideShare      metric = "inside_share"
	weakerShare      metric = "weaker_share"
	outsideLineShare metric = "outside_line_share"
)

const pathsNotes = `Three network namespaces of one machine: the ends and, between them, the path. The bench holds each
packet for half of the round trip and loses some, each by itself or several in a row (the model of Gilbert); before a rate
is a queue of the length that the title says, and what does not fit into it is dropped. Inner streams are iperf3 with cubic, as are
OpenVPN's and WireGuard's; the outer connections of Warren over TLS use cubic in one column and what Warren takes by
itself in the other, bbr where the kernel gives it. Pings go beside the one stream, 100 a second, and count if they came
back. The share of the weaker is that of one stream in the tunnel and one with cubic beside it, outside the tunnel, over
the same bottleneck: 0.5 is fair. A stream counts once it has run for 20 round trips, and then for 60 at least. In each round
all run one after the other, each started afresh. Figures are medians over the rounds.
`

// lossyPath is a path, and the part of -paths that it is. One without a delay has no emulator,
// which is what loses packets.
type lossyPath struct {
	name, title string
	wire
}

func lossyPaths() []lossyPath {
	const ms = time.Millisecond
	like := func(roundTrip time.Duration, share, run float64) wire {
		return wire{delay: roundTrip / 2, loss: path.Loss{Share: share, Run: run}}
	}
	limited := func(w wire, megabits float64, queue time.Duration) wire {
		w.rate, w.queue = 1e6*megabits, queue
		return w
	}
	return []lossyPath{
		{"near", "no delay, no loss", like(0, 0, 0)},
		{"clean", "20 ms, no loss", like(20*ms, 0, 0)},
		{"little", "20 ms, 0.1 % lost", like(20*ms, 0.001, 1)},
		{"lossy", "20 ms, 1 % lost", like(20*ms, 0.01, 1)},
		{"bursts", "20 ms, 1 % lost, 8 in a row", like(20*ms, 0.01, 8)},
		{"worse", "20 ms, 5 % lost", like(20*ms, 0.05, 1)},
		{"far", "100 ms, 0.1 % lost, 100 Mbit/s, queue of 50 ms", limited(like(100*ms, 0.001, 1), 100, 50*ms)},
		{"shallow", "20 ms, no loss, 100 Mbit/s, queue of 10 ms", limited(like(20*ms, 0, 0), 100, 10*ms)},
		{"narrow", "20 ms, no loss, 10 Mbit/s, queue of 100 ms", limited(like(20*ms, 0, 0), 10, 100*ms)},
	}
}

// note says what the title leaves out.
func (p lossyPath) note() string {
	switch {
	case p.rate > 0:
		return "The rate and the queue are those of each direction.\n"
	case p.loss.Share > 0:
		return "Packets get lost in either direction, as often.\n"
	}
	return "What bounds the streams is the machine, and the kernel's socket buffers where there is a delay.\n"
}

// pathNeeds are the commands that all contenders on paths need.
var pathNeeds = []string{"iperf3", "ping", "nft", "ethtool", "ss"}

// pathsSuite measures tunnels over paths of the real world.
func pathsSuite(o options, bin string) *suite {
	s := &suite{
		name:   "paths",
		title:  "Bench of paths",
		intro:  "Tunnels over long, lossy and narrow paths",
		notes:  pathsNotes,
		choice: o.paths,
	}
	for _, p := range lossyPaths() {
		part := part{name: p.name, title: p.title, note: p.note(), rivals: []string{nameBare, nameWireGuard}, figures: []figure{
			{oneStream, "one stream, Gbit/s"}, {fourStreams, "four streams, Gbit/s"},
			{loadedPing, "ping beside one, median, ms"}, {loadedPing99, "ping beside one, p99, ms"},
		}}
		if p.rate > 0 {
			part.figures = append(part.figures, figure{weakerShare, "share of the weaker of two"})
		}
		for _, c := range pathContenders(bin) {
			needs := slices.Clone(pathNeeds)
			if c.name() == nameOpenVPN {
				needs = append(needs, "openvpn")
			}
			if c.name() == nameWireGuard {
				needs = append(needs, "wg")
			}
			tests := []pathTest{streamsOnPath}
			if p.rate > 0 && c.name() != nameBare {
				tests = append(tests, sharedBottleneck)
			}
			part.participants = append(part.participants, participant{
				id: c.name(), title: c.title(), needs: needs, version: c.version,
				turn: func(ctx context.Context) (sample, error) { return onPath(ctx, p.wire, c, o.seconds, tests...) },
			})
		}
		s.parts = append(s.parts, part)
	}
	return s
}

func pathContenders(bin string) []contender {
	return []contender{
		bare{},
		&warren{bin: bin, transport: transportTLS, congestion: congestionControl},
		&warren{bin: bin, transport: transportTLS},
		&warren{bin: bin, transport: transportWireGuard},
		&openVPN{proto: "udp"},
		&wireGuard{bin: bin},
	}
}

// pathTest measures something of a contender that runs on a wire.
type pathTest func(context.Context, *wire, *measurement) error

// onPath starts a contender on a path of its own, and measures it there.
func onPath(ctx context.Context, like wire, c contender, seconds int, tests ...pathTest) (s sample, err error) {
	w, err := newWireLike(ctx, like)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := c.prepare(ctx, w.pair); err != nil {
		return nil, err
	}
	startUp, length := like.testLength(seconds)
	t, err := begin(ctx, w.pair, c, length)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.stop(ctx)) }()
	t.startUp = startUp
	for _, test := range tests {
		err := t.measure(ctx, func(m *measurement, ctx context.Context) error { return test(ctx, w, m) })
		if err != nil {
			return t.sample, err
		}
	}
	return t.sample, nil
}

// What TCP needs on long paths, in round trips: to get under way, and to be what it is from then on.
const (
	startUpTrips = 20
	lengthTrips  = 60
)

// testLength is how long a stream runs before it counts, and how long it counts then, in seconds: at least as long as
// is asked for.
func (w *wire) testLength(seconds int) (startUp, length int) {
	trips := func(n int) int { return int((time.Duration(n)*2*w.delay + time.Second - 1) / time.Second) } // rounded up
	return trips(startUpTrips), max(seconds, trips(lengthTrips))
}

// streamsOnPath are one stream with pings, and four.
func streamsOnPath(ctx context.Context, _ *wire, m *measurement) error {
	sum, err := m.pingedStream(ctx, lossPing)
	if err != nil {
		return err
	}
	m.sample[oneStream] = sum.BitsPerSecond / 1e9
	return m.parallelStreams(ctx)
}

// sharedBottleneck is one stream in the tunnel and one outside it.
func sharedBottleneck(ctx context.Context, w *wire, m *measurement) error {
	var both sync.WaitGroup
	var inside, outside streamSum
	var errs [2]error
	both.Go(func() { inside, errs[0] = m.stream(ctx, oneServer, 2*m.seconds) })
	both.Go(func() { outside, errs[1] = m.streamTo(ctx, underlayB, outsideServer, 2*m.seconds) })
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("two streams: %w", err)
	}
	share := inside.BitsPerSecond / (inside.BitsPerSecond + outside.BitsPerSecond)
	m.sample[insideShare], m.sample[weakerShare] = share, min(share, 1-share)
	m.sample[outsideLineShare] = outside.BitsPerSecond / w.rate
	return nil
}
