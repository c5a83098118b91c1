package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// sampleReport is a report of two rounds with round figures.
func sampleReport() *report {
	r := &report{Rounds: 3, Seconds: 5, Contenders: []result{
		{Name: nameWarren, Title: "Warren TLS", Rounds: []sample{
			{oneStream: 9, idlePing: 0.3, idleRSS: 30}, {oneStream: 12, idlePing: 0.2, idleRSS: 31}, {oneStream: 10, idlePing: 0.25, idleRSS: 29},
		}},
		{Name: nameOpenVPN, Title: "OpenVPN UDP", Rounds: []sample{{oneStream: 1, idlePing: 0.2}}},
		{Name: nameWireGuard, Title: "wireguard-go", Rounds: []sample{{oneStream: 5}}},
	}}
	for i := range r.Contenders {
		r.Contenders[i].Median = medians(r.Contenders[i].Rounds)
	}
	return r
}

func TestMediansAndRatios(t *testing.T) {
	r := sampleReport()
	if got, ok := r.median(nameWarren, oneStream); !ok || got != 10 {
		t.Errorf("median %v, %v; want 10", got, ok)
	}
	if got, ok := r.ratio(nameWarren, nameWireGuard, oneStream); !ok || got != 2 {
		t.Errorf("ratio %v, %v; want 2", got, ok)
	}
	if _, ok := r.ratio(nameWarren, nameWireGuard, idlePing); ok {
		t.Error("a ratio to a figure that was not measured")
	}
}

func TestTargets(t *testing.T) {
	r := sampleReport()
	r.Idle = &idleResult{Further: 200, PerTunnelKB: 300}
	want := map[string]bool{
		"one TCP stream, times wireguard-go":     false, // 2.0
		"one TCP stream, times OpenVPN UDP":      true,  // exactly 10
		"idle ping, times OpenVPN UDP's":         false, // 1.25
		"idle memory with one tunnel, MB":        true,
		"memory of each further idle tunnel, KB": false, // under 300, not 300
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
		if !strings.Contains(r.text(), want) {
			t.Errorf("the terminal's table lacks %q:\n%s", want, r.text())
		}
	}
	if want := "| one TCP stream, Gbit/s | 10.00 | 1.00 | 5.00 |\n"; !strings.Contains(r.markdown(), want) {
		t.Errorf("the Markdown lacks %q:\n%s", want, r.markdown())
	}
	b, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(b), `"one_stream_gbit_s":10`) {
		t.Errorf("JSON: %v: %s", err, b)
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
	if _, err := choose(contenders(""), "wireguard"); err == nil || !strings.Contains(err.Error(), "openvpn-udp") {
		t.Errorf("an unknown name: %v; want the list of names", err)
	}
}
