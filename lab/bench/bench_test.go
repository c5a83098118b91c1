package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sampleReport is a report of three rounds with round figures.
func sampleReport() *report {
	r := &report{Rounds: 3, Seconds: 5, Contenders: []result{
		{Name: nameWarren, Title: "Warren TLS", Rounds: []sample{
			{oneStream: 9, idlePing: 0.3, idleRSS: 30}, {oneStream: 12, idlePing: 0.2, idleRSS: 31}, {oneStream: 10, idlePing: 0.25, idleRSS: 29},
		}},
		{Name: nameWarrenWireGuard, Title: "Warren WireGuard", Rounds: []sample{
			{oneStream: 7.5, fourStreams: 9, packets: 100, idlePing: 0.3, loadedRSS: 30}, {oneStream: 7.5}, {oneStream: 7.5},
		}},
		{Name: nameOpenVPN, Title: "OpenVPN UDP", Rounds: []sample{
			{oneStream: 1, idlePing: 0.2}, {oneStream: 1, idlePing: 0.16}, {oneStream: 1, idlePing: 0.2},
		}},
		{Name: nameWireGuard, Title: "wireguard-go", Rounds: []sample{
			{oneStream: 5, packets: 60, fourStreams: 3, idlePing: 0.6, loadedRSS: 600}, {oneStream: 4}, {oneStream: 5},
		}},
	}}
	for i := range r.Contenders {
		r.Contenders[i].Median = medians(r.Contenders[i].Rounds)
	}
	return r
}

// completeReport has every part, with the sample's figures.
func completeReport() *report {
	r := sampleReport()
	for _, name := range []string{nameBare, nameSealing, nameOpenVPNTCP} {
		r.Contenders = append(r.Contenders, result{Name: name, Title: name})
	}
	r.Rounds = 1
	for i := range r.Contenders {
		r.Contenders[i].add(sample{oneStream: 5})
	}
	for _, delay := range lossDelays {
		for _, permille := range lossPermill {
			c := result{Name: nameWarren, Title: "Warren TLS"}
			c.add(sample{oneStream: 0.0123, loadedPing99: 31.4})
			r.Loss = append(r.Loss, pathResult{RoundTripMS: 2 * delay.Seconds() * 1e3, LossPercent: float64(permille) / 10,
				Contenders: []result{c}})
		}
	}
	r.Idle = []idleResult{
		{Transport: transportTLS, All: idleState{Tunnels: 201}, PerTunnelKB: 208},
		{Transport: transportWireGuard, One: idleState{Tunnels: 1, MemoryMB: 30},
			All: idleState{Tunnels: 1000, MemoryMB: 256, Goroutines: 4321, UpS: 2.5}, PerTunnelKB: 230},
	}
	return r
}

func TestMediansAndRatios(t *testing.T) {
	r := sampleReport()
	if got, ok := r.Contenders.median(nameWarren, oneStream); !ok || got != 10 {
		t.Errorf("median %v, %v; want 10", got, ok)
	}
	// The ratios of the rounds are 9/5, 12/4 and 10/5.
	if got, ok := r.Contenders.ratio(nameWarren, nameWireGuard, oneStream); !ok || got != 2 {
		t.Errorf("ratio %v, %v; want 2", got, ok)
	}
	r.Contenders[3].Rounds[2][oneStream] = 9
	if got, ok := r.Contenders.ratio(nameWarren, nameWireGuard, oneStream); !ok || got != 1.8 {
		t.Errorf("ratio %v, %v; want 1.8", got, ok)
	}
	if _, ok := r.Contenders.ratio(nameWarren, nameOpenVPN, fourStreams); ok {
		t.Error("a ratio to a figure that was not measured")
	}
}

func TestTargets(t *testing.T) {
	r := sampleReport()
	r.Idle = []idleResult{{Transport: transportTLS, PerTunnelKB: 300}}
	want := map[string]bool{
		"TLS: one TCP stream, times wireguard-go":             false, // 2.0
		"TLS: one TCP stream, times OpenVPN UDP":              true,  // exactly 10
		"TLS: idle ping, times OpenVPN UDP's":                 false, // 1.25
		"TLS: idle memory with one tunnel, MB":                true,
		"TLS: memory of each further idle tunnel, KB":         false, // under 300, not 300
		"WireGuard: one TCP stream, times wireguard-go":       true,  // exactly 1.5
		"WireGuard: four TCP streams, times wireguard-go":     true,  // 3
		"WireGuard: 64-byte UDP, arrived, times wireguard-go": false, // 1.67
		"WireGuard: memory after load, times wireguard-go's":  true,  // exactly a twentieth
		"WireGuard: idle ping, times wireguard-go's":          true,  // exactly half
	}
	got := judge(r)
	if len(got) != len(want) {
		t.Errorf("%d targets, want %d: what was not measured is not judged", len(got), len(want))
	}
	for _, g := range got {
		if met, ok := want[g.What]; !ok || met != g.Met {
			t.Errorf("%s: met %v", g.What, g.Met)
		}
	}
}

func TestReport(t *testing.T) {
	r := sampleReport()
	r.Targets = judge(r)
	for _, want := range []string{"one TCP stream, Gbit/s  ", "10.00", "–", "missed"} {
		if !strings.Contains(r.document().text(), want) {
			t.Errorf("the terminal's table lacks %q:\n%s", want, r.document().text())
		}
	}
	for _, want := range []string{
		"| one TCP stream, Gbit/s | 10.00 | 7.50 | 1.00 | 5.00 |\n",
		"| WireGuard: one TCP stream, times wireguard-go | 1.5 or more, better 2 | 1.50 | met |\n",
		"|  | TLS, of wireguard-go | TLS, of OpenVPN UDP | WireGuard, of wireguard-go | WireGuard, of OpenVPN UDP |\n",
	} {
		if !strings.Contains(r.document().markdown(), want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, r.document().markdown())
		}
	}
	for _, absent := range []string{"Lossy paths", "Idle tunnels"} {
		if strings.Contains(r.document().markdown(), absent) {
			t.Errorf("the Markdown shows %q, which was not measured", absent)
		}
	}
	b, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(b), `"one_stream_gbit_s":10`) {
		t.Errorf("JSON: %v: %s", err, b)
	}
}

func TestReportOfPathsAndIdleTunnels(t *testing.T) {
	r := completeReport()
	for _, want := range []string{
		"## Lossy paths: one TCP stream, Mbit/s\n",
		"| no delay, no loss | 12.3 |\n",
		"| 20 ms, 0.1 % lost | 12.3 |\n",
		"| 20 ms, 1 % lost | 31.4 |\n",
		"Rounds: 1. Packets are lost at random",
		"Loss without delay flatters",
		"|  | TLS, 0 | TLS, 201 | WireGuard, 1 | WireGuard, 1000 |\n",
		"| goroutines | 0 | 0 | 0 | 4321 |\n",
		"| memory of each further tunnel, KB | – | 208 | – | 230 |\n",
	} {
		if !strings.Contains(r.document().markdown(), want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, r.document().markdown())
		}
	}
}

func TestReadme(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	const before, after = "# W\n\n<!-- bench:begin -->\n", "<!-- bench:end -->\nprose\n"
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(before + "old figures\n" + after)
	for range 2 { // the second time it replaces its own
		if err := completeReport().writeReadme(path); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.HasPrefix(text, before) || !strings.HasSuffix(text, after) || strings.Contains(text, "old figures") {
		t.Errorf("not between the markers:\n%s", text)
	}
	for _, want := range []string{"| **Warren TLS** |", "| 20 ms, 1 % lost | **12.3, –, 31.4 ms** |", "1000 idle tunnels over WireGuard"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}

	if err := sampleReport().writeReadme(path); err != nil {
		t.Error(err)
	}
	if b, err = os.ReadFile(path); err != nil || string(b) != text {
		t.Errorf("a run that left something out was written: %v\n%s", err, b)
	}
	write(after + before)
	if err := tunnelSection.check(path); err == nil || !strings.Contains(err.Error(), "bench:end") {
		t.Errorf("markers in the wrong order: %v", err)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{nil, 0.5, 0}, {[]float64{7}, 0.99, 7}, {[]float64{3, 1, 2}, 0.5, 2}, {[]float64{4, 3, 2, 1}, 0.99, 4},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.values, c.q, got, c.want)
		}
	}
}

func TestOwnProcessFigures(t *testing.T) {
	rss, err := residentBytes(os.Getpid())
	if err != nil || rss < 1<<20 {
		t.Errorf("memory %d, %v", rss, err)
	}
	before, err := cpuSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := threadsOf(os.Getpid()); err != nil || n < 1 {
		t.Errorf("threads %d, %v", n, err)
	}
	few, err := descriptorsOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if more, err := descriptorsOf(os.Getpid()); err != nil || more != few+1 {
		t.Errorf("descriptors %d, %v; want one more than %d", more, err, few)
	}
	// Work until the clock of the kernel's accounting has moved.
	for sum, after := 0, before; after == before; {
		for i := range 1_000_000 {
			sum += i
		}
		if after, err = cpuSeconds(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChoose(t *testing.T) {
	chosen, err := choose(contenders(""), "wireguard-go,bare-veth")
	if err != nil || len(chosen) != 2 || chosen[0].name() != nameWireGuard {
		t.Errorf("%v, %v", chosen, err)
	}
	if _, err := choose(contenders(""), "wire"); err == nil || !strings.Contains(err.Error(), "openvpn-udp") {
		t.Errorf("an unknown name: %v; want the list of names", err)
	}
}
