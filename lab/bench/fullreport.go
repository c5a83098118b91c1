package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What a run has to be of for the README.
const (
	fullSize = 1_000_000
	fullRest = time.Minute
)

const (
	fullFill      metric = "fill_s"
	fullCPU       metric = "fill_cpu_s"
	fullPeakRSS   metric = "peak_rss_mb"
	fullRestRSS   metric = "rss_after_withdrawal_mb"
	fullChange    metric = "one_change_ms"
	fullChangeCPU metric = "one_change_cpu_ms"
)

// fullMetrics lists them as the table shows them.
var fullMetrics = []struct {
	key   metric
	title string
}{
	{fullFill, "first UPDATE to last route, s"},
	{fullCPU, "processor time of that, s"},
	{fullPeakRSS, "memory, peak until then, MB"},
	{fullRestRSS, "memory after withdrawal of all, MB"},
	{fullChange, "one changed prefix to the kernel, ms"},
	{fullChangeCPU, "processor time of that, ms"},
}

// fullReport is everything that a run of -table measured.
type fullReport struct {
	Machine  machine  `json:"machine"`
	Rounds   int      `json:"rounds"`
	Prefixes int      `json:"prefixes"`
	RestS    float64  `json:"rest_s"`
	Routers  results  `json:"routers"`
	Targets  []target `json:"targets"`
}

// benchFull measures a full table, and writes the report.
func benchFull(ctx context.Context, o options) error {
	if o.rounds < 1 || o.prefixes < 1 || o.prefixes > maxPrefixes || o.rest < 0 {
		return fmt.Errorf("-table: want -rounds of at least 1, -prefixes from 1 to %d, and -rest of at least 0", maxPrefixes)
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	chosen, err := choose(fullRouters(bin), o.only)
	if err != nil {
		return err
	}
	if err := checkRouters(chosen); err != nil {
		return err
	}
	if o.readme != "" {
		if err := fullSection.check(o.readme); err != nil {
			return err
		}
	}
	letSleep, err := keepAwake()
	if err != nil {
		return err
	}
	defer letSleep()
	r := &fullReport{Machine: describeMachine(), Rounds: o.rounds, Prefixes: o.prefixes, RestS: o.rest.Seconds()}
	var failed error
	r.Routers, failed = measureFull(ctx, o, chosen)
	if ctx.Err() != nil {
		return failed
	}
	r.Targets = judgeFull(r.Routers)
	fmt.Printf("\n%s", r.document().text())
	if failed != nil {
		return failed // an earlier report is worth more than a part of one
	}
	if err := r.document().write(o.out+"-table", r); err != nil || o.readme == "" {
		return err
	}
	return fullSection.write(o.readme, r.complete(), r.short)
}

// checkRouters names everything that is missing before anything is measured.
func checkRouters(chosen []fullRouter) error {
	var missing []string
	for _, c := range chosen {
		for _, command := range c.needs() {
			if _, err := exec.LookPath(command); err != nil {
				missing = append(missing, command)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing: %s: run `make deps build bin/gobgpd`", strings.Join(missing, " "))
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("tunnel to the feeder: %w", err)
	}
	return nil
}

// complete tells whether nothing was left out.
func (r *fullReport) complete() bool {
	unfinished := func(c result) bool { return len(c.Rounds) < r.Rounds }
	return r.Prefixes == fullSize && r.RestS == fullRest.Seconds() &&
		len(r.Routers) == len(fullRouters("")) && !slices.ContainsFunc(r.Routers, unfinished)
}

// judgeFull compares what was measured with the targets; one whose figures were not measured is left out.
func judgeFull(r results) []target {
	var out []target
	for _, b := range []bound{
		{"first UPDATE to last route, times FRR's", nameWarren, nameFRR, fullFill, "at most 1.4", atMost(1.4)},
		{"memory, peak, times FRR's", nameWarren, nameFRR, fullPeakRSS, "at most 1.3", atMost(1.3)},
	} {
		if got, ok := r.ratio(b.of, b.to, b.figure); ok {
			out = append(out, target{b.what, b.want, got, b.met(got)})
		}
	}
	for _, b := range []struct {
		what   string
		figure metric
		most   float64
	}{
		{"memory after withdrawal of all, MB", fullRestRSS, 300},
		{"one changed prefix to the kernel, ms", fullChange, 5},
		{"processor time of one changed prefix, ms", fullChangeCPU, 5},
	} {
		if got, ok := r.median(nameWarren, b.figure); ok {
			out = append(out, target{b.what, "at most " + format(b.most, -1), got, got <= b.most})
		}
	}
	return out
}

// medianTable has the figures, and Warren's as multiples of those of the routers that write to the kernel.
func (r *fullReport) medianTable() table {
	t := table{title: fmt.Sprintf("Full table of %d IPv4 prefixes (rounds: %d)", r.Prefixes, r.Rounds)}
	t.rows = append(t.rows, titles(r.Routers))
	var rivals []string
	for _, rival := range []result{{Name: nameFRR, Title: "FRR"}, {Name: nameBIRD, Title: "BIRD"}} {
		if len(r.Routers.rounds(nameWarren)) > 0 && len(r.Routers.rounds(rival.Name)) > 0 {
			rivals = append(rivals, rival.Name)
			t.rows[0] = append(t.rows[0], "Warren, of "+rival.Title)
		}
	}
	for _, m := range fullMetrics {
		row := figures(m.title, r.Routers, m.key, formatSignificant)
		for _, rival := range rivals {
			cell := "–"
			if v, ok := r.Routers.ratio(nameWarren, rival, m.key); ok {
				cell = formatSignificant(v)
			}
			row = append(row, cell)
		}
		t.rows = append(t.rows, row)
	}
	return t
}
