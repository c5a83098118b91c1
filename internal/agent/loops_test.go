package agent

import (
	"net/netip"
	"strings"
	"testing"

	"warren/bgp"
	"warren/internal/status"
)

// TestRivalsAreSaid: that two routers are given one address is in status, once for each peer that announces one of theirs.
func TestRivalsAreSaid(t *testing.T) {
	w := newWorld(t, router(withTunnel("if-b2", 1), peerConfig("c", 2)))
	rival := func(n int) bgp.NeighborStatus {
		return bgp.NeighborStatus{Rival: bgp.Rival{Prefixes: n, First: netip.MustParsePrefix("10.100.100.25/32"), Holder: "c", RouterID: netip.MustParseAddr("10.0.0.26")}}
	}
	if got := w.rivalHints(map[string]bgp.NeighborStatus{"b": {}, "c": {}}); got != nil {
		t.Errorf("%v", got)
	}
	for n, want := range map[int]string{
		1: "b announces 10.100.100.25/32, which is assigned to peer c here and to another router there, with the router ID 10.0.0.26: two routers cannot have one address",
		3: "b announces 10.100.100.25/32 (and 2 more), which",
	} {
		got := w.rivalHints(map[string]bgp.NeighborStatus{"b": rival(n), "b/1": rival(n), "c": {}})
		if len(got) != 1 || got[0].Peer != "b" || !strings.HasPrefix(got[0].Text, want) {
			t.Errorf("%v", got)
		}
	}
}

// TestLoopsAreSaid: what loops and what is kept back is in status, with what ends it for
// this peer.
func TestLoopsAreSaid(t *testing.T) {
	inside, outside := peerConfig("inside", 0), peerConfig("outside", 1)
	cfg := router(inside, outside)
	cfg.Peers[0].BGP.ASN, cfg.Peers[1].BGP.ASN, cfg.Peers[1].BGP.AllowOwnAS = cfg.ASN, 65000, 2
	w := newWorld(t, cfg)
	for _, tt := range []struct {
		peer   string
		status bgp.NeighborStatus
		want   []string // words of each hint
	}{
		{"outside", bgp.NeighborStatus{Looped: bgp.Looped{Prefixes: 3, Total: 9, Last: "the last"}}, nil},
		{"outside", bgp.NeighborStatus{Looped: bgp.Looped{ByAS: 3, Last: "the last"}},
			[]string{"outside announces 3 prefixes whose path has our own AS 64512, and there is no other route to them: spokes that share an AS number need as_override = true at the hub, or allow_own_as = 3 here (the last: the last)"}},
		{"inside", bgp.NeighborStatus{Looped: bgp.Looped{ByOriginator: 1, ByCluster: 2}}, []string{"1 prefix whose originator", "2 prefixes whose way here"}},
		{"inside", bgp.NeighborStatus{Withheld: 1}, []string{"1 prefix of other peers in our own AS 64512 is not announced to inside, which is to hear it from those themselves (iBGP): if it has no session with each of them, set route_reflector_client = true"}},
		{"outside", bgp.NeighborStatus{Withheld: 2}, []string{"2 prefixes of other peers in AS 65000 are not announced to outside, which is in AS 65000 too and would refuse them as a loop: set as_override = true"}},
	} {
		hints := w.loopHints(map[string]bgp.NeighborStatus{tt.peer: tt.status})
		if len(hints) != len(tt.want) {
			t.Errorf("%+v: %d hints, want %d: %v", tt.status, len(hints), len(tt.want), hints)
			continue
		}
		for i, want := range tt.want {
			if hints[i].Peer != tt.peer || !strings.Contains(hints[i].Text, want) {
				t.Errorf("got %+v, want %+v", hints[i], status.Hint{Peer: tt.peer, Text: want})
			}
		}
	}
}
