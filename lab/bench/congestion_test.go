package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTestLength: streams run for as many round trips as TCP needs, where those are long.
func TestTestLength(t *testing.T) {
	for roundTrip, want := range map[time.Duration][2]int{
		0:                      {0, 4},
		5 * time.Millisecond:   {1, 4},
		20 * time.Millisecond:  {1, 4},
		100 * time.Millisecond: {2, 6},
		110 * time.Millisecond: {3, 7},
		300 * time.Millisecond: {6, 18},
	} {
		startUp, length := (&wire{delay: roundTrip / 2}).testLength(4)
		if got := [2]int{startUp, length}; got != want {
			t.Errorf("%v: %v, want %v", roundTrip, got, want)
		}
	}
	if _, length := (&wire{delay: 50 * time.Millisecond}).testLength(9); length != 9 {
		t.Errorf("asked for 9 s: %d", length)
	}
}

// TestCongestionGrid: each path differs from the first in one thing, its queue being as many round trips long, and a
// run of all takes a quarter of an hour.
func TestCongestionGrid(t *testing.T) {
	type thing struct {
		roundTrip         time.Duration
		rate, trips, lost float64
	}
	thingsOf := func(p lossyPath) thing {
		roundTrip := 2 * p.delay
		return thing{roundTrip, p.rate, float64(p.queue) / float64(roundTrip), p.loss.Share}
	}
	middle := thingsOf(congestionPaths()[0])
	if middle != (thing{20 * time.Millisecond, 1e8, 1, 0}) {
		t.Errorf("the middle is %+v", middle)
	}
	const start = 4 // seconds that a turn takes beside its streams
	seconds := 0
	for _, p := range congestionPaths() {
		got, differ := thingsOf(p), 0
		for _, differs := range []bool{
			got.roundTrip != middle.roundTrip, got.rate != middle.rate, got.trips != middle.trips, got.lost != middle.lost,
		} {
			if differs {
				differ++
			}
		}
		if want := min(1, slices.IndexFunc(congestionPaths(), func(q lossyPath) bool { return q.name == p.name })); differ != want {
			t.Errorf("%s: %d things differ: %+v", p.name, differ, got)
		}
		startUp, length := p.testLength(fullLength)
		seconds += len(congestionContenders("")) * (start + 2*startUp + 3*length)
	}
	if seconds > 15*60 {
		t.Errorf("a round takes %d s", seconds)
	}
}

// TestRowsOfParts: the report has a table for each figure, docs/speed.md one for all, and what was left out has no row.
func TestRowsOfParts(t *testing.T) {
	s := congestionSuite(defaults(), "")
	r := &suiteReport{Rounds: 1, Seconds: fullLength, suite: s}
	for _, p := range s.parts[:2] {
		got := &partResult{Name: p.name, Title: p.title}
		for i, c := range p.participants {
			res := result{Name: c.id, Title: c.title, Version: "1"}
			res.add(sample{lineShare: 0.9, loadedPing: 20.5 + float64(i), loadedPing99: 41, insideShare: 0.25, benchLost: 0})
			got.Contenders = append(got.Contenders, res)
		}
		r.Parts = append(r.Parts, got)
	}
	if got := len(r.document().tables); got != len(congestionFigures) {
		t.Errorf("%d tables of %d figures", got, len(congestionFigures))
	}
	for _, want := range []string{
		"## ping beside it, median, ms\n\n|  | bare veth | Warren TLS, cubic | Warren TLS, bbr |\n",
		"| 5 ms | 20.5 | 21.5 | 22.5 |\n",
		"## share of both for the weaker\n",
		"| 5 ms | – | – | – |\n",
		"| 5 ms | 0 | 0 | 0 |\n",
	} {
		if got := r.document().markdown(); !strings.Contains(got, want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, got)
		}
	}
	short := r.short()
	for _, want := range []string{
		"(bench-congestion.md)", "\none stream, share of the line; ping beside it, median, ms; ping beside it, p99, ms:\n",
		"both for the one inside; share of the line for the one outside:\n",
		"|  | bare veth | **Warren TLS, cubic** | **Warren TLS, bbr** |\n",
		"| 5 ms | 0.900, 20.5, 41.0 | **0.900, 21.5, 41.0** | **0.900, 22.5, 41.0** |\n",
		"| 5 ms | 0.250, – | **0.250, –** | **0.250, –** |\n",
	} {
		if !strings.Contains(short, want) {
			t.Errorf("the short table lacks %q:\n%s", want, short)
		}
	}
	if strings.Contains(short, "300 ms") {
		t.Errorf("a row of what was not measured:\n%s", short)
	}
	if r.complete() {
		t.Error("two parts are complete")
	}
}
