package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// report is everything that one run measured.
type report struct {
	Machine    machine     `json:"machine"`
	Rounds     int         `json:"rounds"`
	Seconds    int         `json:"seconds_per_test"`
	Contenders []result    `json:"contenders"`
	Idle       *idleResult `json:"idle_tunnels,omitempty"`
	Targets    []target    `json:"targets"`
}

// median is one contender's figure; false if it was not measured.
func (r *report) median(name string, m metric) (float64, bool) {
	for _, c := range r.Contenders {
		if c.Name == name {
			v, ok := c.Median[m]
			return v, ok
		}
	}
	return 0, false
}

// ratio is one contender's figure divided by another's; false without both.
func (r *report) ratio(name, to string, m metric) (float64, bool) {
	v, ok1 := r.median(name, m)
	w, ok2 := r.median(to, m)
	return v / w, ok1 && ok2 && w > 0
}

// notes explain the tables.
const notes = `Two network namespaces on one machine, joined by a veth pair, MTU 1500; the load
generators share the processors with the tunnels, so absolute figures are those of this
machine, and the ratios are what holds. The contenders take turns; figures are medians
over the rounds. TCP is iperf3 with cubic inside the tunnels and on the underlay, four
streams are four iperf3 processes. UDP counts what arrived while one thread sends as fast
as it can. CPU is user and system time of the two tunnel processes during the one stream; what
the kernel does in softirq is charged to whoever it interrupts, and is not in it. Memory
is resident memory of the larger end. Each contender has the tunnel MTU that it comes with.
`

// tables returns the report's tables, each with a heading: rows of cells, the
// first row being the head.
func (r *report) tables() []table {
	figures := table{title: fmt.Sprintf("Medians (rounds: %d, seconds per test: %d)", r.Rounds, r.Seconds)}
	head := []string{""}
	for _, c := range r.Contenders {
		head = append(head, c.Title)
	}
	figures.rows = append(figures.rows, head)
	for _, m := range metrics {
		row := []string{m.title + ", " + m.unit}
		for _, c := range r.Contenders {
			cell := "–"
			if v, ok := c.Median[m.key]; ok {
				cell = format(v, m.digits)
			}
			row = append(row, cell)
		}
		figures.rows = append(figures.rows, row)
	}
	tables := []table{figures}
	for _, t := range []table{r.ratioTable(), r.idleTable(), r.targetTable()} {
		if len(t.rows) > 1 {
			tables = append(tables, t)
		}
	}
	return tables
}

func (r *report) ratioTable() table {
	t := table{title: "Warren as a multiple of", rows: [][]string{{"", "wireguard-go", "OpenVPN UDP"}}}
	for _, m := range metrics {
		if m.key == packetsSent {
			continue // what the load generator offered says nothing of a contender
		}
		row := []string{m.title}
		for _, to := range []string{nameWireGuard, nameOpenVPN} {
			if v, ok := r.ratio(nameWarren, to, m.key); ok {
				row = append(row, format(v, 2))
			}
		}
		if len(row) == len(t.rows[0]) {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

func (r *report) idleTable() table {
	t := table{title: "Idle tunnels of Warren in one process", rows: [][]string{{"", "memory of one end, MB"}}}
	if i := r.Idle; i != nil {
		t.rows = append(t.rows,
			[]string{"1 tunnel", format(i.OneMB, 1)},
			[]string{fmt.Sprintf("%d tunnels, all established %s s after the start", 1+i.Further,
				format(i.AllEstablishedS, 1)), format(i.AllMB, 1)},
			[]string{"each further tunnel, KB", format(i.PerTunnelKB, 0)})
	}
	return t
}

func (r *report) targetTable() table {
	t := table{title: "Targets", rows: [][]string{{"", "wanted", "measured", ""}}}
	for _, g := range r.Targets {
		verdict := "missed"
		if g.Met {
			verdict = "met"
		}
		t.rows = append(t.rows, []string{g.What, g.Want, format(g.Got, 2), verdict})
	}
	return t
}

// facts describe machine and contenders, one line each.
func (r *report) facts() []string {
	m := r.Machine
	out := []string{fmt.Sprintf("%s, %d cores, %d MB; Linux %s; %s; load at start %.1f",
		m.CPU, m.Cores, m.MemoryMB, m.Kernel, m.Go, m.Load)}
	for _, c := range r.Contenders {
		line := c.Title + ": " + c.Version
		if c.Outer != "" {
			line += ", outer connection with " + c.Outer
		}
		out = append(out, line)
	}
	return out
}

func (r *report) text() string {
	var b strings.Builder
	for _, f := range r.facts() {
		fmt.Fprintln(&b, f)
	}
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n%s\n%s", t.title, t.text())
	}
	return b.String()
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprint(&b, "# Bench\n\nWritten by `make bench`; do not edit.\n\n")
	for _, f := range r.facts() {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n## %s\n\n%s", t.title, t.markdown())
	}
	fmt.Fprintf(&b, "\n## How\n\n%s", notes)
	return b.String()
}

// write writes PATH.md and PATH.json.
func (r *report) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	for suffix, content := range map[string]string{".md": r.markdown(), ".json": string(b) + "\n"} {
		if err := os.WriteFile(path+suffix, []byte(content), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	fmt.Printf("\nwritten to %s.md and %s.json\n", path, path)
	return nil
}

// table is a heading and rows of cells, the first row being the head.
type table struct {
	title string
	rows  [][]string
}

// text aligns the first column left and the others right.
func (t table) text() string {
	width := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		fmt.Fprintf(&b, "  %-*s", width[0], row[0])
		for i, cell := range row[1:] {
			fmt.Fprintf(&b, "  %*s", width[i+1], cell)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func (t table) markdown() string {
	var b strings.Builder
	for i, row := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---:|", len(row)-1))
		}
	}
	return b.String()
}

func format(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
