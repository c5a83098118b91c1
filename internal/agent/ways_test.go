package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/status"
)

// The ways of a prefix are shown with what each is to it; an address stands for the longest prefix.
func TestWaysAreShown(t *testing.T) {
	s, links := stateOf("b", "b/1", "c"), map[string]*attachment{}
	for name, a := range s.attached {
		links[name] = &attachment{peer: &peer{name: peerOf(name)}, name: name, cfg: config.Tunnel{Interface: a.ifname}}
	}
	a := s.attached["b"]
	a.weight = 3
	s.attached["b"] = a
	p := netip.MustParsePrefix("10.2.0.0/24")
	s.learn(netip.MustParsePrefix("10.0.0.0/8"), used("c")...)
	s.learn(p, append(used("b", "b/1"), bgp.Way{Neighbor: "c", Reserve: true})...)
	shown := func() (texts []string) {
		for _, w := range s.shownWays(p, links) {
			texts = append(texts, fmt.Sprintf("%s %s %s %v", w.Peer, w.Interface, w.State, w.Share))
		}
		return texts
	}
	expect(t, "all up", shown(), []string{"b b used 0.75", "b b/1 used 0.25", "c c reserve 0"})
	s.down["b"] = true
	expect(t, "the first is down", shown(), []string{"b b down 0", "b b/1 used 1", "c c reserve 0"})
	s.down["b/1"] = true
	expect(t, "both are", shown(), []string{"b b down 0", "b b/1 down 0", "c c used 1"})

	for of, want := range map[string]string{
		"10.2.0.0/24": "[10.2.0.0/24]", "10.2.0.9/32": "[10.2.0.0/24]", "10.3.0.1/32": "[10.0.0.0/8]", "192.0.2.1/32": "[]", "::1/128": "[]",
	} {
		if got := fmt.Sprint(s.prefixesOf(netip.MustParsePrefix(of))); got != want {
			t.Errorf("%s: %s, want %s", of, got, want)
		}
	}
	if n := len(s.prefixesOf(netip.Prefix{})); n != 2 {
		t.Errorf("of all prefixes %d are shown", n)
	}
}

// However many ways the prefixes have, the answer stays of a length that a client takes.
func TestShownRoutesAreBounded(t *testing.T) {
	s, links := stateOf("b", "b/1", "c"), map[string]*attachment{}
	for name, a := range s.attached {
		links[name] = &attachment{peer: &peer{name: peerOf(name)}, name: name, cfg: config.Tunnel{Interface: a.ifname}}
	}
	prefixes := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // which is not learned any more
	for i := range 5 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16)
		s.learn(p, used("b", "b/1", "c")...)
		prefixes = append(prefixes, p)
	}
	for _, c := range []struct{ most, shown, more int }{{1, 1, 4}, {3, 1, 4}, {4, 2, 3}, {14, 5, 0}, {15, 5, 0}, {100, 5, 0}} {
		r := s.shownRoutes(prefixes, links, c.most)
		if len(r.Routes) != c.shown || r.More != c.more {
			t.Errorf("%d ways at most: %d prefixes, %d more; want %d and %d", c.most, len(r.Routes), r.More, c.shown, c.more)
		}
		for _, is := range r.Routes {
			if len(is.Ways) != 3 {
				t.Errorf("%d ways at most: %+v", c.most, is)
			}
		}
	}
	name := strings.Repeat("x", 64)
	way := status.Way{Peer: name, Interface: name[:15], Link: 10, Weight: 256, State: status.WayReserve, Share: 1. / 17}
	long, err := json.Marshal(way)
	if size := maxRoutesShown*100 + maxWaysShown*len(long); err != nil || size > 12<<20 { // of the 16 MiB that a client takes
		t.Errorf("an answer may have %d bytes, %v", size, err)
	}
}

// The shares are those of the routes: what the far end prefers counts, and what it announces over
// one tunnel alone. While nothing is learned they are those of the config.
func TestSharesAreThoseOfRoutes(t *testing.T) {
	s, p := stateOf("b", "b/1", "c"), &peer{name: "b"}
	for _, name := range []string{"b", "b/1"} {
		a := s.attached[name]
		a.peer, a.weight = "b", 1
		s.attached[name] = a
		p.attachments = append(p.attachments, &attachment{peer: p, name: name, session: &session{}, cfg: config.Tunnel{Interface: name, Weight: 1}})
	}
	shares := func(what, want string) {
		t.Helper()
		if got := fmt.Sprint(s.sharesOf(p)); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	shares("nothing is learned", "[0.5 0.5]")
	one, two := netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("10.3.0.0/24")
	s.learn(one, used("b", "b/1")...)
	shares("both", "[0.5 0.5]")
	s.learn(one, bgp.Way{Neighbor: "b/1"}, bgp.Way{Neighbor: "b", Reserve: true})
	shares("the far end prefers the second", "[0 1]")
	s.learn(two, used("b", "c")...)
	shares("one prefix by each", "[0.5 0.5]")
	s.down["b"] = true
	s.learn(two, used("c")...)
	s.learn(one, used("b/1")...)
	shares("the first is down", "[0 1]")
	s.learn(two)
	s.learn(one)
	delete(s.down, "b")
	shares("nothing any more", "[0.5 0.5]")
}
