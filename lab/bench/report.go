package main

import (
	"fmt"
	"slices"
)

// report is everything that one run measured.
type report struct {
	Machine    machine      `json:"machine"`
	Rounds     int          `json:"rounds"`
	Seconds    int          `json:"seconds_per_test"`
	Contenders results      `json:"contenders"`
	Loss       []pathResult `json:"lossy_paths,omitempty"`
	Idle       []idleResult `json:"idle_tunnels,omitempty"`
	Targets    []target     `json:"targets"`
}

// complete tells whether nothing was left out.
func (r *report) complete() bool {
	unfinished := func(c result) bool { return len(c.Rounds) == 0 || len(c.Rounds) < r.Rounds }
	return !r.Machine.Halting && len(r.Contenders) == len(contenders("")) && !slices.ContainsFunc(r.Contenders, unfinished) &&
		len(r.Loss) == len(lossDelays)*len(lossPermill) &&
		r.idle(transportTLS) != nil && r.idle(transportWireGuard) != nil
}

// idle is what idle tunnels over the transport cost, nil if it was not measured.
func (r *report) idle(transport string) *idleResult {
	for i := range r.Idle {
		if r.Idle[i].Transport == transport {
			return &r.Idle[i]
		}
	}
	return nil
}

// notes explain the tables.
const notes = `Two network namespaces on one machine, joined by a veth pair, MTU 1500; the load
generators share the processors with the tunnels, so absolute figures are those of this
machine, and the ratios are what holds. A process that gives way to all others keeps the
processors from halting, since virtual ones would wait for their host then. In each round all contenders run and take turns
at each test; figures are medians over the rounds, and ratios are medians of each round's
ratio. TCP is iperf3 with cubic inside the tunnels and on the underlay, but for the connections of
Warren over TLS, which use what Warren takes by itself, as said above; four
streams are four iperf3 processes. UDP counts what arrived while one thread sends as fast
as it can. CPU is user and system time of the two tunnel processes during the one stream; what
the kernel does in softirq is charged to whoever it interrupts, and is not in it. Memory
is resident memory of the larger end. Each contender has the tunnel MTU that it comes with.
The sealing relay is no tunnel to use: a Go program that carries packets between TUN and UDP,
sealed with ChaCha20-Poly1305, and does nothing else. It is here for its idle ping: about what
reading, sealing, writing and waking take of everybody's.
`

// tables returns the report's tables, those that have something to show.
func (r *report) tables() []table {
	all := append([]table{r.medianTable(), r.ratioTable()}, r.lossTables()...)
	all = append(all, r.idleTable(), targetTable(r.Targets))
	var tables []table
	for _, t := range all {
		if len(t.rows) > 1 && len(t.rows[0]) > 1 {
			tables = append(tables, t)
		}
	}
	return tables
}

// titles are a table's head: the contenders' titles behind an empty cell.
func titles(contenders []result) []string {
	head := []string{""}
	for _, c := range contenders {
		head = append(head, c.Title)
	}
	return head
}

// figures are a table's row: one figure of each contender behind the row's title.
func figures(title string, contenders []result, key metric, show func(float64) string) []string {
	row := []string{title}
	for _, c := range contenders {
		cell := "–"
		if v, ok := c.Median[key]; ok {
			cell = show(v)
		}
		row = append(row, cell)
	}
	return row
}

func (r *report) medianTable() table {
	t := table{title: fmt.Sprintf("Medians (rounds: %d, seconds per test: %d)", r.Rounds, r.Seconds)}
	t.rows = append(t.rows, titles(r.Contenders))
	for _, m := range metrics {
		show := func(v float64) string { return format(v, m.digits) }
		t.rows = append(t.rows, figures(m.title+", "+m.unit, r.Contenders, m.key, show))
	}
	return t
}

// ratioTable compares either transport of Warren with each rival that was measured.
func (r *report) ratioTable() table {
	t := table{title: "Warren as a multiple of its rivals", rows: [][]string{{""}}}
	rows := map[metric][]string{}
	for _, of := range []string{transportTLS, transportWireGuard} {
		name := (&warren{transport: of}).name()
		for _, rival := range []string{nameWireGuard, nameOpenVPN} {
			if _, ok := r.Contenders.ratio(name, rival, oneStream); !ok {
				continue
			}
			t.rows[0] = append(t.rows[0], transportTitle(of)+", of "+r.title(rival))
			for _, m := range metrics {
				cell := "–"
				if v, ok := r.Contenders.ratio(name, rival, m.key); ok {
					cell = format(v, 2)
				}
				rows[m.key] = append(rows[m.key], cell)
			}
		}
	}
	for _, m := range metrics {
		// What the load generator offered says nothing of a contender, and next to no
		// loss has no multiple.
		if m.key != packetsSent && m.key != loadedLoss {
			t.rows = append(t.rows, append([]string{m.title}, rows[m.key]...))
		}
	}
	return t
}

// title is what people read for a contender's name.
func (r *report) title(name string) string {
	for _, c := range r.Contenders {
		if c.Name == name {
			return c.Title
		}
	}
	return name
}

func (r *report) idleTable() table {
	t := table{title: "Idle tunnels of Warren in one process", rows: [][]string{{""},
		{"memory, MB"}, {"memory of each further tunnel, KB"}, {"goroutines"}, {"threads"}, {"file descriptors"},
		{"CPU, % of one core"}, {"start until all tunnels are up, s"}, {"start until all sessions are established, s"}}}
	for _, i := range r.Idle {
		for _, s := range []idleState{i.One, i.All} {
			each := "–"
			if s.Tunnels > 1 {
				each = format(i.PerTunnelKB, 0)
			}
			column := []string{fmt.Sprintf("%s, %d", transportTitle(i.Transport), s.Tunnels), format(s.MemoryMB, 1), each,
				fmt.Sprint(s.Goroutines), fmt.Sprint(s.Threads), fmt.Sprint(s.Descriptors),
				format(s.CPUPercent, 1), format(s.UpS, 1), format(s.EstablishedS, 1)}
			for row, cell := range column {
				t.rows[row] = append(t.rows[row], cell)
			}
		}
	}
	t.note = "Sessions included, each figure of the end where it is larger. The WireGuard tunnels share one UDP port.\n"
	return t
}

func targetTable(targets []target) table {
	t := table{title: "Targets", rows: [][]string{{"", "asked", "measured", ""}}}
	for _, g := range targets {
		verdict := "missed"
		if g.Met {
			verdict = "met"
		}
		t.rows = append(t.rows, []string{g.What, g.Want, formatSignificant(g.Got), verdict})
	}
	return t
}

// facts describe machine and contenders, one line each.
func (r *report) facts() []string {
	out := []string{r.Machine.fact()}
	measured := r.Contenders
	if len(measured) == 0 && len(r.Loss) > 0 {
		measured = r.Loss[0].Contenders
	}
	for _, c := range measured {
		line := c.Title + ": " + c.Version
		if c.Outer != "" {
			line += ", outer connection with " + c.Outer
		}
		out = append(out, line)
	}
	return out
}

func (r *report) document() document {
	return document{title: "Bench", origin: "make bench", facts: r.facts(), tables: r.tables(), notes: notes}
}
