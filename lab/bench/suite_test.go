package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// defaults are the options of a run for docs/speed.md.
func defaults() options {
	return options{rounds: 3, seconds: fullLength, prefixes: fullSize, rest: fullRest, peers: 10, idle: 200, idleWireGuard: 999, spokes: fullSpokes, load: fullLoad,
		keepalive: failoverKeepalive, deadAfter: failoverDeadAfter}
}

func testSuites(t *testing.T) []*suite {
	t.Helper()
	all, err := suites(defaults())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sampleSuiteReport has round figures of the part "fill", and is one of a whole run of -table as far as
// the other parts are concerned: each participant has an empty sample for each round.
func sampleSuiteReport(t *testing.T) *suiteReport {
	t.Helper()
	r := &suiteReport{Rounds: 3, Seconds: fullLength, Prefixes: fullSize, RestS: fullRest.Seconds(), Spokes: fullSpokes, LoadS: fullLoad.Seconds(), suite: testSuites(t)[0]}
	filled := map[string][]sample{
		nameWarren: {{fullFill: 14, fullPeakRSS: 1300, fullRestRSS: 301, fullChange: 0.5, fullChangeCPU: 5},
			{fullFill: 20, fullPeakRSS: 1300}, {fullFill: 16, fullPeakRSS: 1300}},
		nameBIRD:   {{fullFill: 8, fullChange: 100}, {fullFill: 8}, {fullFill: 8}},
		nameFRR:    {{fullFill: 10, fullPeakRSS: 1000}, {fullFill: 10, fullPeakRSS: 1000}, {fullFill: 16, fullPeakRSS: 1000}},
		nameGoBGPD: {{fullFill: 11}, {fullFill: 11}, {fullFill: 11}},
	}
	for _, p := range r.suite.parts {
		got := &partResult{Name: p.name, Title: p.title}
		for _, c := range p.participants {
			rounds := []sample{{}, {}, {}}
			if p.name == "fill" {
				rounds = filled[c.id]
			}
			got.Contenders = append(got.Contenders, result{Name: c.id, Title: c.title, Version: c.id + " 1.2", Rounds: rounds, Median: medians(rounds)})
		}
		r.Parts = append(r.Parts, got)
	}
	r.judge()
	return r
}

func TestSuiteReport(t *testing.T) {
	r := sampleSuiteReport(t)
	markdown := r.document().markdown()
	for _, want := range []string{
		"- FRR: frr 1.2\n",
		"## Full table of 1000000 IPv4 prefixes\n",
		"|  | Warren | BIRD | FRR | gobgpd, no kernel | Warren, of BIRD | Warren, of FRR |\n",
		// The rounds' ratios to FRR are 1.4, 2 and 1, to BIRD 1.75, 2.5 and 2.
		"| first UPDATE to last route, s | 16.0 | 8.00 | 10.0 | 11.0 | 2.00 | 1.40 |\n",
		"| one changed prefix to the kernel, ms | 0.500 | 100 | – | – | 0.005 | – |\n",
		"| first UPDATE to last route, times FRR's | at most 1.4 | 1.40 | met |\n",
		"| memory, peak, times FRR's | at most 1.3 | 1.30 | met |\n",
		"| memory after withdrawal of all, MB | at most 300 | 301 | missed |\n",
		"| processor time of one changed prefix, ms | at most 5 | 5.00 | met |\n",
		"median of 50 withdrawals", "resident 60 s later", "## 10 peers that announce the same 100000 prefixes",
	} {
		if !strings.Contains(markdown, want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, markdown)
		}
	}
	if got := strings.Count(markdown, "FRR: frr 1.2"); got != 1 {
		t.Errorf("a version is told %d times", got)
	}
	for _, want := range []string{"FRR: frr 1.2", "16.0", "missed"} {
		if !strings.Contains(r.document().text(), want) {
			t.Errorf("the terminal's table lacks %q:\n%s", want, r.document().text())
		}
	}
	if want := "| first UPDATE to last route, s | **16.0** | 8.00 |"; !strings.Contains(r.short(), want) {
		t.Errorf("the short table lacks %q:\n%s", want, r.short())
	}

	fill := r.of("fill")
	fill.Contenders = fill.Contenders[1:]
	if r.judge(); len(r.Targets) != 0 {
		t.Errorf("targets without Warren: %+v", r.Targets)
	}
	markdown, _, _ = strings.Cut(r.document().markdown(), "## One changed prefix")
	if strings.Contains(markdown, "Warren, of") {
		t.Errorf("multiples of what was not measured:\n%s", markdown)
	}
}

func TestSuiteReportIsComplete(t *testing.T) {
	if !sampleSuiteReport(t).complete() {
		t.Error("a whole run is not complete")
	}
	for name, spoil := range map[string]func(*suiteReport){
		"fewer prefixes": func(r *suiteReport) { r.Prefixes-- },
		"shorter tests":  func(r *suiteReport) { r.Seconds-- },
		"less rest":      func(r *suiteReport) { r.RestS-- },
		"less load":      func(r *suiteReport) { r.LoadS-- },
		"halting":        func(r *suiteReport) { r.Machine.Halting = true },
		"a round":        func(r *suiteReport) { r.Rounds++ },
		"a router":       func(r *suiteReport) { r.Parts[0].Contenders = r.Parts[0].Contenders[:3] },
		"a part":         func(r *suiteReport) { r.Parts = r.Parts[1:] },
	} {
		r := sampleSuiteReport(t)
		if spoil(r); r.complete() {
			t.Errorf("%s: complete all the same", name)
		}
	}
}

// TestSuiteSpeed writes the short form between markers of the suite's own.
func TestSuiteSpeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "speed.md")
	const before = "<!-- bench:begin -->\nfigures of tunnels\n<!-- bench:end -->\n<!-- bench-table:begin -->\n"
	const after = "<!-- bench-table:end -->\nprose\n"
	if err := os.WriteFile(path, []byte(before+"old figures\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	r := sampleSuiteReport(t)
	if err := r.suite.section().write(path, r.complete(), r.short); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if text := string(b); err != nil || text != before+r.short()+after {
		t.Errorf("%v: not between the markers:\n%s", err, text)
	}
}

// TestSuitesAreWhole looks for figures that no row shows, and for targets that can't be measured.
func TestSuitesAreWhole(t *testing.T) {
	for _, s := range testSuites(t) {
		for _, p := range s.parts {
			if len(p.participants) == 0 || len(p.figures) == 0 || !strings.HasSuffix(p.note, ".\n") {
				t.Errorf("part %s of -%s: %d participants, %d figures, note %q", p.name, s.name, len(p.participants), len(p.figures), p.note)
			}
			shown := func(key metric) bool {
				return slices.ContainsFunc(p.figures, func(f figure) bool { return f.key == key })
			}
			for _, b := range p.bounds {
				if !shown(b.figure) || !slices.Contains(names(p.participants), b.of) || !slices.Contains(names(p.participants), b.to) {
					t.Errorf("part %s of -%s: target %q is about what is not measured", p.name, s.name, b.what)
				}
			}
			for _, l := range p.limits {
				if !shown(l.key) || !slices.Contains(names(p.participants), l.of) {
					t.Errorf("part %s of -%s: target %q is about what is not measured", p.name, s.name, l.what)
				}
			}
		}
	}
}

func TestPartChoice(t *testing.T) {
	for line, want := range map[string]string{
		"-table":             "fill,change,peers,flow,switch,chain,stop,reload,idle",
		"-table=true":        "fill,change,peers,flow,switch,chain,stop,reload,idle",
		"-table=idle,fill":   "fill,idle",
		"-failover":          "cut,link,return,restart,remotes,alarms,spokes",
		"-failover=remotes":  "remotes",
		"-table=false":       "",
		"":                   "",
		"-congestion":        "middle,5ms,100ms,300ms,10mbit,1gbit,shallow,deep,little,lossy,bursts,worse",
		"-table -failover":   "error: exclude",
		"-table -congestion": "error: exclude",
		"-table=fill,fil":    `error: no part "fil"`,
		"-failover=cut,idle": "error: cut,link,return",
	} {
		if got := chosenParts(t, strings.Fields(line)); !strings.HasPrefix(want, "error: ") && got != want ||
			strings.HasPrefix(want, "error: ") && !strings.Contains(got, strings.TrimPrefix(want, "error: ")) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// chosenParts are the parts that a command line chooses, or the error.
func chosenParts(t *testing.T, args []string) string {
	t.Helper()
	o := defaults()
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Var(&o.table, "table", "")
	flags.Var(&o.failover, "failover", "")
	flags.Var(&o.congestion, "congestion", "")
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	s, err := chosenSuite(o)
	if err != nil {
		return err.Error()
	}
	if s == nil {
		return ""
	}
	parts, err := s.choice.of(s.parts)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, p := range parts {
		out = append(out, p.name)
	}
	return strings.Join(out, ",")
}

func TestSuiteRefuses(t *testing.T) {
	good := defaults()
	good.only = "no such router"
	for name, c := range map[string]struct {
		spoil func(*options)
		want  string
	}{
		"a router that there is not": {func(*options) {}, "bird,frr,gobgpd,warren"},
		"no round":                   {func(o *options) { o.rounds = 0 }, "-rounds"},
		"tests of a second":          {func(o *options) { o.seconds = 1 }, "-seconds"},
		"too many prefixes":          {func(o *options) { o.prefixes = maxPrefixes + 1 }, "-prefixes from 10 to 5000000"},
		"a part that there is not":   {func(o *options) { o.table.chosen = []string{"fall"} }, "fill,change"},
	} {
		o := good
		c.spoil(&o)
		if err := tableSuite(o, "").run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// TestPartGoesOn: one that fails costs neither the others nor the rounds of the others.
func TestPartGoesOn(t *testing.T) {
	version := func(context.Context) (string, error) { return "1", nil }
	broken := errors.New("broken")
	turns := 0
	p := part{name: "test", participants: []participant{
		{id: "a", version: version, turn: func(context.Context) (sample, error) {
			turns++
			return nil, broken
		}},
		{id: "b", version: version, turn: func(context.Context) (sample, error) { return sample{fullFill: 1}, nil }},
	}}
	r, err := p.measure(t.Context(), 3)
	if !errors.Is(err, broken) || turns != 1 || len(r.Contenders[0].Rounds) != 0 || len(r.Contenders[1].Rounds) != 3 {
		t.Errorf("%v, %d turns, %+v", err, turns, r.Contenders)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.participants[0].turn = func(context.Context) (sample, error) {
		cancel()
		return nil, broken
	}
	if r, err = p.measure(ctx, 3); !errors.Is(err, context.Canceled) || len(r.Contenders[1].Rounds) != 0 {
		t.Errorf("went on after an interrupt: %v, %+v", err, r.Contenders)
	}
}

func TestKeepOnly(t *testing.T) {
	all := tableSuite(defaults(), "").parts
	kept, err := keepOnly(all, "bird,warren-wireguard")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range kept {
		for _, c := range p.participants {
			if c.id != "bird" && c.id != "warren-wireguard" {
				t.Errorf("part %s keeps %s", p.name, c.id)
			}
		}
	}
	if kept[0].name != "fill" || slices.ContainsFunc(kept, func(p part) bool { return p.name == "reload" }) || len(all[0].participants) != 4 {
		t.Errorf("%d parts, the first %s, of which %d are left in the list of all", len(kept), kept[0].name, len(all[0].participants))
	}
}

func TestFilterKeeps(t *testing.T) {
	for n, want := range map[int]int{10: 4, 20_000: 8192, 1_000_000: 262_144} {
		if got := keptByFilter(n); got != want {
			t.Errorf("of %d prefixes %d, want %d", n, got, want)
		}
	}
	if got := filterFor(262_144); got != `["16.0.0.0/6 le 24"]` {
		t.Error(got)
	}
	if got := filterFor(4); got != `["16.0.0.0/22 le 24"]` {
		t.Error(got)
	}
}

func TestAssess(t *testing.T) {
	all, err := parseArrivals("ready\nfirst\n3 5000000\n0 1000000\n1 2000000\n1 2500000\n")
	if err != nil {
		t.Fatal(err)
	}
	// Number 1 came twice, and 2 not at all; 2.5 ms are between 1 and 3, then none comes for 7.
	for ended, gap := range map[time.Duration]float64{6 * time.Millisecond: 2.5, 12 * time.Millisecond: 7} {
		if got := assess(5, all, time.Unix(0, ended.Nanoseconds())); got != (flowFigures{5, 2, gap}) {
			t.Errorf("ended after %v: %+v", ended, got)
		}
	}
}
