package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// suite is a bench that consists of parts.
type suite struct {
	name   string // of its flag and of its files
	title  string // of its report
	intro  string // before its tables in docs/speed.md
	notes  string // what all parts have in common
	parts  []part // all there are
	choice partChoice
	rounds int // unless -rounds says how many; 0: as many as elsewhere
	// inRows are the tables of docs/speed.md: the figures that each shows of each part, in one row. In the report itself each figure
	// has a table with a row for each part then. If there are none, each part has a table.
	inRows [][]metric
}

// What a run has to be of for docs/speed.md.
const (
	fullSize   = 1_000_000
	fullRest   = time.Minute
	fullSpokes = 200
	fullLoad   = time.Minute
	fullLength = 4 // seconds
)

// suiteReport is everything that a run of a suite measured.
type suiteReport struct {
	Machine  machine       `json:"machine"`
	Rounds   int           `json:"rounds"`
	Seconds  int           `json:"seconds_per_test"`
	Prefixes int           `json:"prefixes"`
	RestS    float64       `json:"rest_s"`
	Spokes   int           `json:"spokes"`
	LoadS    float64       `json:"load_s"`
	Parts    []*partResult `json:"parts"`
	Targets  []target      `json:"targets"`

	suite *suite
}

// run measures the suite, and writes the report.
func (s *suite) run(ctx context.Context, o options) error {
	if o.rounds < 1 || o.seconds < 2 || o.prefixes < 10 || o.prefixes > maxPrefixes || o.rest < 0 || o.load < time.Second {
		return fmt.Errorf("-%s: want -rounds of at least 1, -seconds of at least 2, -prefixes from 10 to %d, -rest of at least 0, and -load of at least 1s",
			s.name, maxPrefixes)
	}
	if o.spokes < 2 || o.spokes > maxSpokes {
		return fmt.Errorf("-%s: want -spokes from 2 to %d", s.name, maxSpokes)
	}
	parts, err := s.choice.of(s.parts)
	if err != nil {
		return err
	}
	if parts, err = keepOnly(parts, o.only); err != nil {
		return err
	}
	if lacking := missing(parts); len(lacking) > 0 {
		return fmt.Errorf("missing: %s: run `make deps build bin/wireguard-go bin/gobgpd`", strings.Join(lacking, " "))
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("tunnels: %w", err)
	}
	if o.speed != "" {
		if err := s.section().check(o.speed); err != nil {
			return err
		}
	}
	letSleep, err := keepAwake(o.letHalt)
	if err != nil {
		return err
	}
	defer letSleep()
	r := &suiteReport{Machine: describeMachine(o.letHalt), Rounds: o.rounds, Seconds: o.seconds, Prefixes: o.prefixes, RestS: o.rest.Seconds(),
		Spokes: o.spokes, LoadS: o.load.Seconds(), suite: s}
	var failed error
	r.Parts, failed = measureParts(ctx, parts, o.rounds)
	if ctx.Err() != nil {
		return failed
	}
	r.judge()
	fmt.Printf("\n%s", r.document().text())
	if failed != nil {
		return failed // an earlier report is worth more than a part of one
	}
	if err := r.document().write(o.out+"-"+s.name, r); err != nil || o.speed == "" {
		return err
	}
	return s.section().write(o.speed, r.complete(), r.short)
}

// section is the suite's part of docs/speed.md.
func (s *suite) section() section { return section("bench-" + s.name) }

// of returns what was measured of a part, nil if it was left out.
func (r *suiteReport) of(name string) *partResult {
	i := slices.IndexFunc(r.Parts, func(p *partResult) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return r.Parts[i]
}

// complete tells whether nothing was left out.
func (r *suiteReport) complete() bool {
	whole := !r.Machine.Halting && r.Seconds >= fullLength && r.Prefixes == fullSize && r.RestS == fullRest.Seconds() && r.Spokes == fullSpokes &&
		r.LoadS >= fullLoad.Seconds()
	for _, p := range r.suite.parts {
		got := r.of(p.name)
		whole = whole && got != nil && len(got.Contenders) == len(p.participants) &&
			!slices.ContainsFunc(got.Contenders, func(c result) bool { return len(c.Rounds) < r.Rounds })
	}
	return whole
}

// judge compares what was measured with the targets; one whose figures were not measured is left out.
func (r *suiteReport) judge() {
	r.Targets = nil
	for _, p := range r.suite.parts {
		got := r.of(p.name)
		if got == nil {
			continue
		}
		for _, b := range p.bounds {
			if v, ok := got.Contenders.ratio(b.of, b.to, b.figure); ok {
				r.Targets = append(r.Targets, target{b.what, b.want, v, b.met(v)})
			}
		}
		for _, l := range p.limits {
			if v, ok := got.Contenders.median(l.of, l.key); ok {
				r.Targets = append(r.Targets, target{l.what, "at most " + format(l.most, -1), v, v <= l.most})
			}
		}
	}
}

// facts describe machine and contenders, one line each.
func (r *suiteReport) facts() []string {
	out := []string{r.Machine.fact(), fmt.Sprintf("rounds: %d; seconds: %d; prefixes: %d", r.Rounds, r.Seconds, r.Prefixes)}
	for _, p := range r.Parts {
		for _, c := range p.Contenders {
			if line := c.Title + ": " + c.Version; !slices.Contains(out, line) {
				out = append(out, line)
			}
		}
	}
	return out
}

// tables has one table for each part that was measured, or for each figure.
func (r *suiteReport) tables() []table {
	if len(r.suite.inRows) > 0 {
		return r.figureTables()
	}
	var out []table
	for _, p := range r.suite.parts {
		if got := r.of(p.name); got != nil && len(got.Contenders) > 0 {
			out = append(out, p.table(got))
		}
	}
	return out
}

// table has the figures, and Warren's as multiples of its rivals'.
func (p part) table(r *partResult) table {
	t := table{title: p.title, note: p.note, rows: [][]string{titles(r.Contenders)}}
	var rivals []string
	for _, c := range r.Contenders {
		if slices.Contains(p.rivals, c.Name) && len(r.Contenders.rounds(nameWarren)) > 0 && len(c.Rounds) > 0 {
			rivals = append(rivals, c.Name)
			t.rows[0] = append(t.rows[0], "Warren, of "+c.Title)
		}
	}
	for _, f := range p.figures {
		row := figures(f.title, r.Contenders, f.key, formatSignificant)
		for _, rival := range rivals {
			cell := "–"
			if v, ok := r.Contenders.ratio(nameWarren, rival, f.key); ok {
				cell = formatSignificant(v)
			}
			row = append(row, cell)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (r *suiteReport) document() document {
	tables := r.tables()
	if len(r.Targets) > 0 {
		tables = append(tables, targetTable(r.Targets))
	}
	return document{title: r.suite.title, origin: "make bench BENCHFLAGS=-" + r.suite.name,
		facts: r.facts(), tables: tables, notes: r.suite.notes}
}

// short is the report for docs/speed.md, in Markdown. The results are beside that file.
func (r *suiteReport) short() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s ([how](bench-%s.md)):\n", r.suite.intro, r.suite.name)
	for _, t := range r.shortTables() {
		t.note = ""
		fmt.Fprintf(&b, "\n%s:\n\n%s", t.title, emphasizeWarren(t).markdown())
	}
	return b.String() + "\n"
}

// suites are the benches that consist of parts.
func suites(o options) ([]*suite, error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	return []*suite{tableSuite(o, bin), failoverSuite(o, bin), pathsSuite(o, bin), congestionSuite(o, bin)}, nil
}

// chosenSuite returns the suite whose flag was given, nil if none was.
func chosenSuite(o options) (*suite, error) {
	all, err := suites(o)
	if err != nil {
		return nil, err
	}
	var chosen *suite
	for _, s := range all {
		switch {
		case s.choice.given && chosen != nil:
			return nil, errors.New("-table, -failover, -paths and -congestion exclude each other")
		case s.choice.given:
			chosen = s
		}
	}
	return chosen, nil
}
