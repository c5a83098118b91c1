package agent

import (
	"strings"
	"testing"

	"warren/bgp"
	"warren/internal/status"
)

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
