package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// section is a part of a document that this program writes: between the lines
// "<!-- SECTION:begin -->" and "<!-- SECTION:end -->". The README has that of tunnels,
// docs/speed.md those of the suites.
type section string

const tunnelSection section = "bench"

// splice puts text between the two markers of a document.
func (s section) splice(document, text string) (string, error) {
	begin, end := fmt.Sprintf("<!-- %s:begin -->\n", s), fmt.Sprintf("<!-- %s:end -->", s)
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		return "", fmt.Errorf("no line %q", strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("no line %q after %q", end, strings.TrimSpace(begin))
	}
	return before + begin + text + end + after, nil
}

// check returns an error now rather than after a quarter of an hour.
func (s section) check(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("short report: %w", err)
	}
	if _, err := s.splice(string(b), ""); err != nil {
		return fmt.Errorf("short report: %s: %w", path, err)
	}
	return nil
}

// writeReadme writes the report's short form.
func (r *report) writeReadme(path string) error {
	return tunnelSection.write(path, r.complete(), r.short)
}

// write replaces what is between the markers, but not by the figures of a run that
// left something out: they would be taken for the whole.
func (s section) write(path string, complete bool, short func() string) error {
	if !complete {
		fmt.Println(path, "is left alone, since this run left something out")
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("short report: %w", err)
	}
	text, err := s.splice(string(b), short())
	if err != nil {
		return fmt.Errorf("short report: %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("short report: %w", err)
	}
	return nil
}

// shortMetrics are those that the README shows.
var shortMetrics = []metric{oneStream, fourStreams, packets, idlePing, loadedPing, cpuPerGB, idleRSS, loadedRSS}

// short is the report for the README, in Markdown.
func (r *report) short() string {
	var b strings.Builder
	main := table{rows: [][]string{titles(r.Contenders)}}
	for _, m := range metrics {
		if slices.Contains(shortMetrics, m.key) {
			show := func(v float64) string { return format(v, m.digits) }
			main.rows = append(main.rows, figures(m.title+", "+m.unit, r.Contenders, m.key, show))
		}
	}
	b.WriteString(emphasizeWarren(main).markdown())
	b.WriteString("\n" + r.shortRatios() + "\n")
	b.WriteString("On paths with delay and loss, one stream and four streams, Mbit/s, and the p99 of pings beside the one stream, ms:\n\n")
	b.WriteString(emphasizeWarren(r.shortLoss()).markdown() + "\n")
	b.WriteString(r.shortIdle() + "\n")
	fmt.Fprintf(&b, `Both ends and the load ran on one machine of %d cores: namespaces joined by veth pairs, cubic for inner
connections. Such figures drift, ratios within one run less. Loss is random and in either direction.
`, r.Machine.Cores)
	return b.String()
}

// shortLoss is one table of the lossy paths, with three figures in a cell.
func (r *report) shortLoss() table {
	t := table{rows: [][]string{titles(r.Loss[0].Contenders)}}
	for _, p := range r.Loss {
		var parts [][]string
		for _, key := range []metric{oneStream, fourStreams, loadedPing99} {
			parts = append(parts, figures(p.title(), p.Contenders, key, lossFigure(key)))
		}
		row := []string{p.title()}
		for i := 1; i < len(parts[0]); i++ {
			row = append(row, parts[0][i]+", "+parts[1][i]+", "+parts[2][i]+" ms")
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// emphasizeWarren makes Warren's columns bold.
func emphasizeWarren(t table) table {
	for _, row := range t.rows {
		for i := 1; i < len(row); i++ {
			if strings.HasPrefix(t.rows[0][i], "Warren") || strings.HasPrefix(t.rows[0][i], "**Warren") {
				row[i] = "**" + row[i] + "**"
			}
		}
	}
	return t
}

func (r *report) shortRatios() string {
	var b strings.Builder
	for _, transport := range []string{transportTLS, transportWireGuard} {
		name := (&warren{transport: transport}).name()
		times := func(rival string, m metric) string {
			v, ok := r.Contenders.ratio(name, rival, m)
			if !ok {
				return "–"
			}
			return formatSignificant(v)
		}
		fmt.Fprintf(&b, `Over %s one stream is %s times wireguard-go's and %s times OpenVPN UDP's, four are %s and %s times,
small packets %s and %s times.
`, transportTitle(transport), times(nameWireGuard, oneStream), times(nameOpenVPN, oneStream),
			times(nameWireGuard, fourStreams), times(nameOpenVPN, fourStreams),
			times(nameWireGuard, packets), times(nameOpenVPN, packets))
	}
	return b.String()
}

func (r *report) shortIdle() string {
	var b strings.Builder
	for _, i := range r.Idle {
		fmt.Fprintf(&b, `%d idle tunnels over %s in one process, sessions included: %s MB, %s KB for each further one,
%d goroutines, %d file descriptors; %s s from the start all were up, after %s s all sessions established.
`, i.All.Tunnels, transportTitle(i.Transport), format(i.All.MemoryMB, 0), format(i.PerTunnelKB, 0),
			i.All.Goroutines, i.All.Descriptors, format(i.All.UpS, 1), format(i.All.EstablishedS, 1))
	}
	return b.String()
}
