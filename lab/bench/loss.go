package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The paths of the loss table: each delay with each loss.
var (
	lossDelays  = []time.Duration{0, 10 * time.Millisecond} // one way
	lossPermill = []int{0, 1, 10}
)

// lossPing is the interval of the pings beside a stream over a lossy path: it
// takes many to see what one packet in a hundred suffers.
const lossPing = 10 * time.Millisecond

// pathResult is what the contenders made of one path.
type pathResult struct {
	RoundTripMS float64  `json:"round_trip_ms"`
	LossPercent float64  `json:"loss_percent"`
	Contenders  []result `json:"contenders"`
}

// title names the path in a table.
func (p pathResult) title() string {
	delay, loss := "no delay", "no loss"
	if p.RoundTripMS > 0 {
		delay = format(p.RoundTripMS, 0) + " ms"
	}
	if p.LossPercent > 0 {
		loss = format(p.LossPercent, -1) + " % lost"
	}
	return delay + ", " + loss
}

// lossContenders are those to compare on lossy paths: not TCP in TCP as OpenVPN
// does it, which nobody recommends there, nor the sealing relay, which is here for its ping.
func lossContenders(chosen []contender) []contender {
	return slices.DeleteFunc(slices.Clone(chosen), func(c contender) bool {
		return c.name() == nameOpenVPNTCP || c.name() == nameSealing
	})
}

// measureLoss lets the contenders take turns on each path.
func measureLoss(ctx context.Context, o options, chosen []contender) ([]pathResult, error) {
	var out []pathResult
	for _, delay := range lossDelays {
		paths, err := measureWire(ctx, o, lossContenders(chosen), delay)
		if err != nil {
			return nil, fmt.Errorf("lossy path of %v: %w", delay, err)
		}
		out = append(out, paths...)
	}
	return out, nil
}

func measureWire(ctx context.Context, o options, chosen []contender, delay time.Duration) (out []pathResult, err error) {
	w, err := newWire(ctx, delay)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	var entered []result
	for _, c := range chosen {
		res, err := enter(ctx, w.pair, c)
		if err != nil {
			return nil, err
		}
		entered = append(entered, res)
	}
	for _, permille := range lossPermill {
		path := pathResult{
			RoundTripMS: float64(2*delay) / float64(time.Millisecond),
			LossPercent: float64(permille) / 10,
			Contenders:  slices.Clone(entered),
		}
		for round := range o.loss {
			for i, c := range chosen {
				fmt.Printf("%s, round %d of %d: %s\n", path.title(), round+1, o.loss, c.title())
				if err := lossyTurn(ctx, w, permille, c, o.seconds, &path.Contenders[i]); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, path)
	}
	return out, nil
}

// lossyTurn starts the contender on the whole path, and loses packets while it measures.
func lossyTurn(ctx context.Context, w *wire, permille int, c contender, seconds int, res *result) error {
	// What was lost of the end of the last turn's tests must not keep the servers busy.
	if err := w.startServers(ctx); err != nil {
		return err
	}
	t, err := begin(ctx, w.pair, c, seconds)
	if err != nil {
		return err
	}
	err = t.measure(ctx, func(m *measurement, ctx context.Context) error {
		if err := w.setLoss(ctx, permille); err != nil {
			return err
		}
		sum, err := m.pingedStream(ctx, lossPing)
		if err != nil {
			return err
		}
		m.sample[oneStream] = sum.BitsPerSecond / 1e9
		return m.parallelStreams(ctx)
	})
	if err == nil {
		t.addTo(res)
	}
	return errors.Join(err, w.setLoss(ctx, 0), t.stop(ctx))
}

// lossNote explains the tables of lossy paths. It follows the number of their rounds.
const lossNote = `Packets are lost at random, each by itself, as often in either direction. A third namespace
between the ends loses them (nftables), and for the rows with a round trip the bench holds each for
half of it. The ends cut what they send into packets of 1500 bytes before it leaves them and join what
arrives, as a network card's driver does, so the rows without loss are slower than the medians above.
Loss without delay flatters TCP, inside a tunnel and as one: it mends a loss within a fraction of a
millisecond, as it can on no real path. The rows with a round trip are the ones to decide by; what bounds
a stream there without loss is the size of the kernel's socket buffers. Pings go beside the one stream,
100 a second; their p99 is of those that came back, and lost are also those that came too late.
`

// lossFigures are the tables of lossy paths.
var lossFigures = []struct {
	title string
	key   metric
	show  func(float64) string
}{
	{"one TCP stream, Mbit/s", oneStream, showMegabits},
	{"four TCP streams, Mbit/s", fourStreams, showMegabits},
	{"ping beside one stream, median, ms", loadedPing, formatSignificant},
	{"ping beside one stream, p99, ms", loadedPing99, formatSignificant},
	{"ping beside one stream, lost, %", loadedLoss, func(v float64) string { return format(v, 1) }},
}

// lossFigure is how the tables of lossy paths show a figure.
func lossFigure(key metric) func(float64) string {
	for _, f := range lossFigures {
		if f.key == key {
			return f.show
		}
	}
	return formatSignificant
}

func showMegabits(gigabits float64) string { return formatSignificant(1e3 * gigabits) }

func (r *report) lossTables() []table {
	if len(r.Loss) == 0 {
		return nil
	}
	var tables []table
	for _, f := range lossFigures {
		t := table{title: "Lossy paths: " + f.title, rows: [][]string{titles(r.Loss[0].Contenders)}}
		for _, p := range r.Loss {
			t.rows = append(t.rows, figures(p.title(), p.Contenders, f.key, f.show))
		}
		tables = append(tables, t)
	}
	rounds := len(r.Loss[0].Contenders[0].Rounds)
	tables[len(tables)-1].note = fmt.Sprintf("Rounds: %d. ", rounds) + lossNote
	return tables
}
