package status

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"warren/internal/history"
)

// Level is how things are, as plugins for monitoring end with it.
type Level int

// The levels.
const (
	LevelOK Level = iota
	LevelWarning
	LevelCritical
	LevelUnknown
)

func (l Level) String() string {
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[l]
}

// FlapsWithin is how long ago sessions ended that FigureFlaps counts.
const FlapsWithin = time.Hour

// Bounds of what a plugin says: what takes it in has room for 4 KiB or less.
const (
	maxSaid     = 5   // problems
	maxSaidText = 200 // runes of one
)

// PluginLine is a line of a plugin for monitoring but for performance data. Nothing in it is taken for their beginning.
func PluginLine(l Level, text string) string {
	return fmt.Sprintf("WARREN %s - %s", l, strings.ReplaceAll(clean(text), "|", "/"))
}

// Plugin judges a status by thresholds, and returns the line that a plugin for monitoring prints (Monitoring Plugins
// Development Guidelines): the worst level, what is wrong, and the figures as performance data. events are those of
// the last FlapsWithin. peer: of that one alone; "": of all. What an operator has drained or taken down counts for nothing.
func Plugin(s Status, peer string, events []history.Event, t Thresholds) (Level, string) {
	s.Peers = slices.DeleteFunc(slices.Clone(s.Peers), func(p Peer) bool { return peer != "" && p.Name != peer })
	all := len(s.Peers)
	down := Down(s, peer)
	s.Peers = slices.DeleteFunc(s.Peers, Peer.Out)
	without := WithoutSession(s)

	var problems []problemOf
	var data []string
	for _, f := range []figure{
		{name: FigurePeers, samples: count(len(without), without), most: strconv.Itoa(len(s.Peers))},
		{name: FigureDown, samples: count(len(down), down)},
		{name: FigureRTT, what: "round trip", unit: "ms", samples: eachTunnel(s, tunnelRTT)},
		{name: FigureLoss, what: "lost", unit: "%", most: "100", samples: eachTunnel(s, tunnelLoss)},
		{name: FigurePrefixes, what: "prefixes", least: true, samples: eachPeer(s, acceptedFrom)},
		{name: FigureFlaps, what: "sessions ended in the last hour:", samples: eachPeer(s, flapsIn(events))},
	} {
		if d := f.data(t); d != "" {
			data = append(data, d)
		}
		problems = append(problems, f.problems(t)...)
	}
	level, text := said(problems)
	if text == "" {
		text = fmt.Sprintf("sessions with %d of %d peers", len(s.Peers)-len(without), len(s.Peers))
		if out := all - len(s.Peers); out > 0 {
			text += fmt.Sprintf(", %d drained or taken down", out)
		}
	}
	return level, PluginLine(level, text) + " | " + strings.Join(data, " ")
}

// figure is one of figures with its values.
type figure struct {
	name    string
	what    string // before the value in a sentence
	unit    string
	most    string // the greatest value that there can be; "": there is none
	least   bool   // where nothing alerts the least value is shown, else the greatest
	samples []sample
}

// sample is a value of a figure.
type sample struct {
	of    string // whose it is; "": the router's
	value float64
	lines []string // in the place of a sentence about the value
}

type problemOf struct {
	level Level
	text  string
}

func (t Thresholds) level(figure string, v float64) (Level, Range) {
	if r, ok := t.Critical[figure]; ok && r.Alerts(v) {
		return LevelCritical, r
	}
	if r, ok := t.Warning[figure]; ok && r.Alerts(v) {
		return LevelWarning, r
	}
	return LevelOK, Range{}
}

// problems are the samples that alert.
func (f *figure) problems(t Thresholds) (all []problemOf) {
	for _, s := range f.samples {
		level, r := t.level(f.name, s.value)
		if level == LevelOK {
			continue
		}
		for _, line := range s.lines {
			all = append(all, problemOf{level, line})
		}
		if len(s.lines) == 0 {
			text := fmt.Sprintf("%s %s%s (threshold %s)", f.what, decimal(s.value), f.unit, r)
			if f.what == "" { // a count, of 0 things
				text = fmt.Sprintf("%s is %s (threshold %s)", f.name, decimal(s.value), r)
			}
			if s.of != "" {
				text = s.of + ": " + text
			}
			all = append(all, problemOf{level, text})
		}
	}
	return all
}

// data is the performance datum of a figure: the value that alerts most, else the greatest or the least; "" if there
// is no value.
func (f *figure) data(t Thresholds) string {
	if len(f.samples) == 0 {
		return ""
	}
	worst := slices.MaxFunc(f.samples, func(a, b sample) int {
		la, _ := t.level(f.name, a.value)
		lb, _ := t.level(f.name, b.value)
		if f.least {
			return cmp.Or(cmp.Compare(la, lb), cmp.Compare(b.value, a.value))
		}
		return cmp.Or(cmp.Compare(la, lb), cmp.Compare(a.value, b.value))
	})
	return strings.TrimRight(fmt.Sprintf("%s=%s%s;%s;%s;0;%s", f.name, decimal(worst.value), f.unit, t.Warning[f.name], t.Critical[f.name], f.most), ";")
}

// said is the worst level, and the problems, the worst first.
func said(problems []problemOf) (Level, string) {
	slices.SortStableFunc(problems, func(a, b problemOf) int { return int(b.level - a.level) })
	var texts []string
	for _, p := range problems {
		if !slices.Contains(texts, p.text) {
			texts = append(texts, p.text)
		}
	}
	if len(texts) == 0 {
		return LevelOK, ""
	}
	if n := len(texts) - maxSaid; n > 0 {
		texts = append(texts[:maxSaid], fmt.Sprintf("and %d more", n))
	}
	for i := range texts {
		if text := []rune(texts[i]); len(text) > maxSaidText {
			texts[i] = string(text[:maxSaidText]) + "…"
		}
	}
	return problems[0].level, strings.Join(texts, "; ")
}

func count(n int, lines []string) []sample { return []sample{{value: float64(n), lines: lines}} }

// eachTunnel has a sample of each tunnel of which the value is known.
func eachTunnel(s Status, of func(PeerTunnel) (float64, bool)) (all []sample) {
	for _, p := range s.Peers {
		for i, t := range tunnels(p) {
			if v, ok := of(t); ok {
				all = append(all, sample{of: rowName(p, i), value: v})
			}
		}
	}
	return all
}

func eachPeer(s Status, of func(Peer) int) (all []sample) {
	for _, p := range s.Peers {
		all = append(all, sample{of: p.Name, value: float64(of(p))})
	}
	return all
}

func tunnelRTT(t PeerTunnel) (ms float64, ok bool) {
	return float64(t.RTT) / float64(time.Millisecond), t.State == stateUp && t.RTT > 0
}

// tunnelLoss is that of the transport that carries the tunnel, if it is known.
func tunnelLoss(t PeerTunnel) (percent float64, ok bool) {
	for _, w := range t.Ways {
		if w.Transport == t.CarriedBy && w.Loss != nil {
			return *w.Loss * 100, true
		}
	}
	return 0, false
}

// acceptedFrom counts prefixes of the tunnel over which there are most: over several a peer announces the same.
func acceptedFrom(p Peer) (n int) {
	for _, t := range tunnels(p) {
		if t.BGP.State == stateEstablished {
			n = max(n, t.BGP.Accepted)
		}
	}
	return n
}

func flapsIn(events []history.Event) func(Peer) int {
	ended := map[string]int{}
	for _, e := range events {
		if e.Kind == history.SessionDown {
			ended[e.Peer]++
		}
	}
	return func(p Peer) int { return ended[p.Name] }
}

// decimal is a value with up to three decimals.
func decimal(v float64) string {
	text := strconv.FormatFloat(v, 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}
