package status

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// narrow is a status with long names and addresses.
func narrow(several, congested bool) Status {
	s := Status{Time: At(noon), Router: Router{Name: "site-a", ASN: 64512, RouterID: "10.0.0.1", Version: "1.0",
		Hints: []Hint{{Text: strings.Repeat("what there is to know ", 12), Peer: "site-b"}}}}
	for i, name := range []string{"b", "site-with-a-name-of-more-than-30-letters"} {
		p := Peer{Name: name, Tunnel: Tunnel{Transport: "wireguard", State: "connecting", Remote: "[2001:db8:1234:5678:9abc:def0:1234:5678]:51820",
			Since: At(noon.Add(-90 * 24 * time.Hour)), RTT: Millis(123 * time.Millisecond), RxBytes: 1 << 40, TxBytes: 1 << 50},
			BGP: BGP{Address: "fdb5:afa6:de3d:123a:1741:76c3:62ba:6695", State: "established", Since: At(noon.Add(-100 * time.Hour)), Received: 12345, Accepted: 1234, Announced: 100000}}
		if i == 0 {
			p.Tunnel.State, p.BGP.State = "up", "openconfirm"
		}
		if congested {
			p.Tunnel.Congestion = "bbr"
		}
		if several {
			p.Tunnels = []PeerTunnel{{Tunnel: p.Tunnel, BGP: p.BGP}, {Tunnel: p.Tunnel, BGP: p.BGP}}
		}
		s.Peers = append(s.Peers, p)
	}
	return s
}

var sgr = regexp.MustCompile("\x1b\\[[0-9]*m")

// A table fits the terminal's width; who the peers are, at which addresses and how they are is never left out.
// Colours change nothing but colours.
func TestTableFits(t *testing.T) {
	for _, c := range []struct{ several, congested bool }{{}, {true, true}} {
		s := narrow(c.several, c.congested)
		var full strings.Builder
		_ = Table(&full, s)
		before := ""
		for width := 72; width < 260; width++ {
			var b, coloured strings.Builder
			_ = View{Width: width}.Table(&b, s)
			_ = View{Width: width, Colour: true}.Table(&coloured, s)
			if sgr.ReplaceAllString(coloured.String(), "") != b.String() || !strings.Contains(coloured.String(), "\x1b[32mup\x1b[0m") ||
				!strings.Contains(coloured.String(), "\x1b[31mconnecting\x1b[0m") || strings.Count(coloured.String(), "\x1b[0m")*2 != len(sgr.FindAllString(coloured.String(), -1)) {
				t.Fatalf("at %d in colours:\n%q", width, coloured.String())
			}
			for l := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > width {
					t.Fatalf("at %d a line has %d cells: %s", width, n, l)
				}
			}
			for _, want := range []string{"PEER ", " TUNNEL ", " BGP ADDRESS ", " BGP ", " ACC", "site", "fdb5:", ":6695", "established", "openconfirm", "1234"} {
				if !strings.Contains(b.String(), want) {
					t.Fatalf("at %d there is no %q:\n%s", width, want, b.String())
				}
			}
			before = b.String()
		}
		if head := strings.Split(before, "\n")[2]; !strings.Contains(full.String(), head+"\n") {
			t.Errorf("where there is room the head is\n%s", head)
		}
		if strings.Contains(full.String(), "\x1b") || strings.Contains(full.String(), "…") {
			t.Errorf("all:\n%s", full.String())
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{{"site-b", 6, "site-b"}, {"site-bc", 6, "sit…bc"}, {"fdb5:afa6::6695", 8, "fdb5…695"}, {"ab", 1, "…"}, {"äöüß", 3, "ä…ß"}} {
		if got := shorten(c.text, c.width); got != c.want {
			t.Errorf("%q in %d: %q", c.text, c.width, got)
		}
	}
}

// What only goes on is no change; what is another than it was is one.
func TestGist(t *testing.T) {
	is := Gist(example())
	later := example()
	later.Time, later.Router.UptimeS = At(noon.Add(time.Hour)), 5
	later.Router.Hints = []Hint{{Text: "for 35s now"}}
	later.Peers[0].Tunnels[0].RxBytes++
	later.Peers[0].Tunnels[0].RTT++
	later.Router.Conditions[0].Tries++
	if Gist(later) != is {
		t.Error("times and counters are a change")
	}
	for i, change := range []func(*Status){
		func(s *Status) { s.Peers[0].Tunnels[0].State = "waiting" }, func(s *Status) { s.Peers[0].Tunnels[1].BGP.Accepted++ },
		func(s *Status) { s.Peers = s.Peers[1:] }, func(s *Status) { s.Router.Conditions = nil }, func(s *Status) { s.FIB.Errors = 0 },
		func(s *Status) { s.Peers[1].BGP.LastError = "another" }, func(s *Status) { s.Peers[0].Tunnels[0].Flaps++ },
	} {
		other := example()
		change(&other)
		if Gist(other) == is {
			t.Errorf("change %d is not seen", i)
		}
	}
}
