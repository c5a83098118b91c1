package status

import (
	"strings"
	"testing"
	"time"

	"warren/internal/history"
)

func TestParseRange(t *testing.T) {
	for _, c := range []struct {
		text   string
		alerts []float64
		well   []float64
	}{
		{"10", []float64{-1, 10.001}, []float64{0, 10}},
		{"10:", []float64{9.9, -5}, []float64{10, 1e9}},
		{":10", []float64{-1, 11}, []float64{0, 10}},
		{"~:10", []float64{11}, []float64{-1e9, 10}},
		{"10:20", []float64{9, 21}, []float64{10, 20}},
		{"@10:20", []float64{10, 15, 20}, []float64{9, 21}},
		{"@10", []float64{0, 10}, []float64{-1, 11}},
		{"-2.5:0", []float64{-3, 1}, []float64{-2.5, 0}},
		{"0", []float64{1}, []float64{0}},
	} {
		r, err := ParseRange(c.text)
		if err != nil || r.String() != c.text {
			t.Errorf("%s: %q, %v", c.text, r, err)
		}
		for _, v := range c.alerts {
			if !r.Alerts(v) {
				t.Errorf("%s does not alert on %g", c.text, v)
			}
		}
		for _, v := range c.well {
			if r.Alerts(v) {
				t.Errorf("%s alerts on %g", c.text, v)
			}
		}
	}
}

func TestWrongThresholds(t *testing.T) {
	for text, want := range map[string]string{
		"100":           `"100" is no threshold: write FIGURE=RANGE`,
		"rtt":           `"rtt" is no threshold`,
		"rt=1":          `there is no figure "rt"; there are peers, down, rtt, loss, prefixes, flaps`,
		"rtt=1,rtt=2":   "rtt is given twice",
		"rtt=":          "rtt=: a number is missing",
		"rtt=@":         "a number is missing",
		"rtt=:":         "a number is missing",
		"rtt=100ms":     `rtt=100ms: "100ms" is no number; a range is MAX (alert above)`,
		"rtt=inf":       `"inf" is no number`,
		"rtt=1e3":       `"1e3" is no number`,
		"rtt=~":         `"~" is no number`,
		"rtt=1:~":       `"~" is no number`,
		"rtt=1:2:3":     `"2:3" is no number`,
		"rtt=20:10":     "it ends before it begins: 20 is more than 10",
		"rtt=-1":        "it ends before it begins: 0 is more than -1",
		"rtt=1,":        `"" is no threshold`,
		"rtt=1, loss=2": `there is no figure " loss"`,
	} {
		for option, parse := range map[string]func() (Thresholds, error){
			"--warning: ":  func() (Thresholds, error) { return ParseThresholds(text, "") },
			"--critical: ": func() (Thresholds, error) { return ParseThresholds("", text) },
		} {
			if _, err := parse(); err == nil || !strings.HasPrefix(err.Error(), option) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", text, err, want)
			}
		}
	}
}

// measured is a router with the peers a and b, the latter with two tunnels.
func measured() Status {
	s := well()
	one := func(p, i int) *PeerTunnel { return &s.Peers[p].Tunnels[i] }
	one(0, 0).RTT, one(1, 0).RTT, one(1, 1).RTT = Millis(20*time.Millisecond), Millis(12345*time.Microsecond), Millis(80*time.Millisecond)
	one(0, 0).BGP.Accepted, one(1, 0).BGP.Accepted, one(1, 1).BGP.Accepted = 7, 12, 10
	loss, other := 0.015, 0.5
	one(0, 0).CarriedBy, one(0, 0).Ways = "wireguard", []Carrier{{Transport: "tls", Loss: &other}, {Transport: "wireguard", Loss: &loss}}
	return s
}

func TestPlugin(t *testing.T) {
	ended := func(peers ...string) (all []history.Event) {
		for _, p := range peers {
			all = append(all, history.Event{Kind: history.SessionDown, Peer: p}, history.Event{Kind: history.TunnelDown, Peer: p})
		}
		return all
	}
	const data = " | peers=0;;0;0;2 down=0;0;;0 rtt=80ms;;;0 loss=1.5%;;;0;100 prefixes=7;;;0 flaps=0;;;0"
	cutA := func(s *Status) {
		s.Peers[0].Tunnels[0] = PeerTunnel{Tunnel: Tunnel{State: "connecting", LastError: "no|answer\n"}, BGP: BGP{State: "idle"}}
	}
	cutB1 := func(s *Status) { s.Peers[1].Tunnels[1].State, s.Peers[1].Tunnels[1].BGP.State = "connecting", "idle" }
	for _, c := range []struct {
		name              string
		edit              func(*Status)
		events            []history.Event
		peer              string
		warning, critical string
		level             Level
		line              string // begins with " |": only the end counts, ends with "|": only the beginning
	}{
		{"all well", nil, nil, "", "", "", LevelOK, "WARREN OK - sessions with 2 of 2 peers" + data},
		{"one peer", nil, nil, "b", "", "", LevelOK,
			"WARREN OK - sessions with 1 of 1 peers | peers=0;;0;0;1 down=0;0;;0 rtt=80ms;;;0 prefixes=12;;;0 flaps=0;;;0"},
		{"no peers", func(s *Status) { s.Peers = nil }, nil, "", "", "", LevelOK, "WARREN OK - sessions with 0 of 0 peers | peers=0;;0;0;0 down=0;0;;0"},
		{"no session", cutA, nil, "", "", "", LevelCritical,
			"WARREN CRITICAL - a: tunnel: connecting: no/answer? | peers=1;;0;0;2 down=1;0;;0 rtt=80ms;;;0 prefixes=0;;;0 flaps=0;;;0"},
		{"no session with another peer", cutA, nil, "b", "", "", LevelOK, "WARREN OK - |"},
		{"one of two tunnels", cutB1, nil, "", "", "", LevelWarning, "WARREN WARNING - b/1: tunnel: connecting |"},
		{"both", func(s *Status) { cutB1(s); cutA(s) }, nil, "", "", "", LevelCritical, "WARREN CRITICAL - a: tunnel: connecting: no/answer?; b/1: tunnel: connecting |"},
		{"one of two tunnels is critical", cutB1, nil, "", "", "down=0", LevelCritical, "WARREN CRITICAL - b/1: tunnel: connecting |"},
		{"so much may be down", func(s *Status) { cutB1(s); cutA(s) }, nil, "", "peers=1", "down=2", LevelOK, "WARREN OK - sessions with 1 of 2 peers |"},
		{"refused routes", func(s *Status) { s.FIB.Errors = 3 }, nil, "", "", "", LevelWarning, "WARREN WARNING - 3 routes are refused by the kernel |"},
		{"drained", func(s *Status) { cutA(s); s.Peers[0].Drained = &Drain{} }, ended("a", "a"), "", "prefixes=8:", "flaps=0", LevelOK,
			"WARREN OK - sessions with 1 of 1 peers, 1 drained or taken down |"},
		{"round trip", nil, nil, "", "rtt=50", "rtt=100", LevelWarning, "WARREN WARNING - b/1: round trip 80ms (threshold 50) |"},
		{"round trip, critical", nil, nil, "", "rtt=15", "rtt=50", LevelCritical,
			"WARREN CRITICAL - b/1: round trip 80ms (threshold 50); a: round trip 20ms (threshold 15) |"},
		{"round trip, its data", nil, nil, "a", "rtt=10", "rtt=50:60", LevelCritical, " | peers=0;;0;0;1 down=0;0;;0 rtt=20ms;10;50:60;0 loss=1.5%;;;0;100 prefixes=7;;;0 flaps=0;;;0"},
		{"what alerts is shown", nil, nil, "", "", "rtt=15:", LevelCritical, " | peers=0;;0;0;2 down=0;0;;0 rtt=12.345ms;;15:;0 loss=1.5%;;;0;100 prefixes=7;;;0 flaps=0;;;0"},
		{"loss of what carries", nil, nil, "", "loss=1", "loss=2", LevelWarning, "WARREN WARNING - a: lost 1.5% (threshold 1) |"},
		{"prefixes", nil, nil, "", "prefixes=10:", "prefixes=1:", LevelWarning, "WARREN WARNING - a: prefixes 7 (threshold 10:) |"},
		{"prefixes, inside", nil, nil, "", "", "prefixes=@12", LevelCritical, "WARREN CRITICAL - a: prefixes 7 (threshold @12); b: prefixes 12 (threshold @12) |"},
		{"flaps", nil, ended("a", "b", "b", "gone"), "", "flaps=1", "flaps=5", LevelWarning, "WARREN WARNING - b: sessions ended in the last hour: 2 (threshold 1) |"},
		{"too few are down", nil, nil, "", "down=1:", "", LevelWarning, "WARREN WARNING - down is 0 (threshold 1:) |"},
		{"many", func(s *Status) {
			for range 20 {
				p := s.Peers[0]
				p.Name += strings.Repeat("x", len(s.Peers)*20)
				p.Tunnels = []PeerTunnel{{Tunnel: Tunnel{State: "down"}}}
				s.Peers = append(s.Peers, p)
			}
		}, nil, "", "", "", LevelCritical, "and 15 more |"},
	} {
		s := measured()
		if c.edit != nil {
			c.edit(&s)
		}
		th, err := ParseThresholds(c.warning, c.critical)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		level, line := Plugin(s, c.peer, c.events, th)
		ok := line == c.line
		if before, beginning := strings.CutSuffix(c.line, "|"); beginning {
			said, _, _ := strings.Cut(line, "|")
			ok = strings.HasPrefix(said, before) || c.name == "many" && strings.HasSuffix(said, "; "+before)
		} else if strings.HasPrefix(c.line, " |") {
			ok = strings.HasSuffix(line, c.line)
		}
		if level != c.level || !ok || strings.ContainsAny(line, "\n\x1b") || strings.Count(line, "|") != 1 || len(line) > 2000 {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, level, line, c.line)
		}
		if len(s.Peers) == 0 && c.name != "no peers" {
			t.Errorf("%s: the status was changed", c.name)
		}
	}
}
