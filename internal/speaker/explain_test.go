package speaker

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

// The process is asked about a prefix, also by several at once, and answers with the neighbors' names.
// One that does not answer holds up nobody but who asks.
func TestExplain(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1", nil), startSpeaker(t, 64513, "10.0.0.2", nil)
	a.wantPair("b", "127.9.7.1", "127.9.7.2", 64513, 1, "10.1.0.0/16")
	b.wantPair("a", "127.9.7.2", "127.9.7.1", 64512, 1, "10.2.0.0/16")
	eventually(t, "the route", func() bool { return a.has("10.2.0.0/16", "b") })
	answers := make(chan error, 8)
	for range cap(answers) {
		go func() {
			is, err := a.Explain(t.Context(), bgp.Question{Of: prefix("10.2.0.7/32"), Address: true})
			if err == nil && (is.Prefix != prefix("10.2.0.0/16") || len(is.Candidates) != 1 || is.Candidates[0].Neighbor != "b" || is.Candidates[0].Verdict != bgp.VerdictBest ||
				len(is.Exports) != 1 || is.Exports[0] != bgp.Export{Neighbor: "b", Withheld: bgp.WithheldSource, From: "b"}) {
				t.Errorf("the explanation is %+v", is)
			}
			answers <- err
		}()
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if is, err := a.Explain(t.Context(), bgp.Question{Of: prefix("10.1.0.0/16")}); err != nil || !is.Local || is.Exports[0].Withheld != bgp.Sent {
		t.Errorf("the explanation of an own network is %+v: %v", is, err)
	}

	quiet := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.command = []string{"warren", "quiet"} })
	eventually(t, "the process", func() bool { return quiet.Status().PID != 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := quiet.Explain(ctx, bgp.Question{Of: prefix("10.1.0.0/16")}); err == nil {
		t.Error("a process has answered that does nothing")
	}
}

// What cannot be an answer is refused, and what is text in one is made printable.
func TestExplainedIsChecked(t *testing.T) {
	q := bgp.Question{Of: prefix("10.2.0.7/32"), Address: true}
	good := func() wire.Explained {
		return wire.Explained{
			Prefix: prefix("10.2.0.0/16"), Refused: []netip.Prefix{prefix("10.2.0.0/24")}, Exports: []wire.Export{{ID: 1, Withheld: bgp.WithheldSource}},
			Candidates: []wire.Candidate{{ID: 1, Candidate: bgp.Candidate{
				Verdict: bgp.VerdictBest, Origin: "igp", Path: "1\x1b[2J", Text: strings.Repeat("x", 10*maxPlain), Communities: []string{"1\n2"},
				NextHop: netip.MustParseAddr("fe80::1%lo\x1b"),
			}}},
		}
	}
	m := good()
	if err := checkExplained(&m, q); err != nil {
		t.Fatal(err)
	}
	if c := m.Candidates[0].Candidate; c.Path != "1?[2J" || len(c.Text) != maxPlain || c.Communities[0] != "1?2" || c.NextHop.Zone() != "" {
		t.Errorf("the candidate is %+v", c)
	}
	for name, spoil := range map[string]func(*wire.Explained){
		"another prefix":      func(m *wire.Explained) { m.Prefix = prefix("10.3.0.0/16") },
		"other refused ones":  func(m *wire.Explained) { m.Refused[0] = prefix("10.3.0.0/16") },
		"host bits":           func(m *wire.Explained) { m.Prefix = netip.MustParsePrefix("10.2.0.7/16") },
		"many refused ones":   func(m *wire.Explained) { m.Refused = make([]netip.Prefix, 40) },
		"a verdict":           func(m *wire.Explained) { m.Candidates[0].Verdict = "nice" },
		"the daemon's own":    func(m *wire.Explained) { m.Candidates[0].Verdict = bgp.VerdictUnreachable },
		"a loop":              func(m *wire.Explained) { m.Candidates[0].Loop = "x" },
		"a step":              func(m *wire.Explained) { m.Candidates[0].Step = "x" },
		"an origin":           func(m *wire.Explained) { m.Candidates[0].Origin = "x" },
		"a reason":            func(m *wire.Explained) { m.Candidates[0].Reason.Kind = 99 },
		"many communities":    func(m *wire.Explained) { m.Candidates[0].Communities = make([]string, bgp.MaxCommunities+1) },
		"many candidates":     func(m *wire.Explained) { m.Candidates = make([]wire.Candidate, bgp.MaxCandidates+1) },
		"fewer than none":     func(m *wire.Explained) { m.More = -1 },
		"a reason to be kept": func(m *wire.Explained) { m.Exports[0].Withheld = "x" },
	} {
		m := good()
		spoil(&m)
		if checkExplained(&m, q) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	m = good()
	if checkExplained(&m, bgp.Question{Of: prefix("10.2.0.0/24")}) == nil {
		t.Error("the answer to another question is taken")
	}
}
