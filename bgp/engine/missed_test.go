package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
)

// TestNothingIsMissed has sessions come up while what is announced changes: in
// the end each peer has what is announced, and nothing else.
func TestNothingIsMissed(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	for round := range 15 {
		addrA, addrB := testAddrs()
		connectAt(t, a, b, addrA, addrB, nil, nil)
		var last []netip.Prefix
		for i := 0; wantState(b, "a", stateEstablished) != "" || i < 20; i++ {
			last = manyPrefixes(1000*round+i, 20)
			a.edit(func(_ map[string]*Neighbor, w *Wanted) { w.Announced = last })
			if i > 100000 {
				t.Fatal("no session")
			}
		}
		eventually(t, time.Minute, func() string {
			routes := b.Routes()
			if len(routes) != len(last) {
				return fmt.Sprintf("round %d: %d routes, not %d", round, len(routes), len(last))
			}
			for _, p := range last {
				if _, ok := routes[p]; !ok {
					return "no route to " + p.String()
				}
			}
			return ""
		})
		for _, err := range []error{a.DeleteNeighbor(t.Context(), "b"), b.DeleteNeighbor(t.Context(), "a")} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLookForMissed plays events around the time in which GoBGP loses changes.
func TestLookForMissed(t *testing.T) {
	up := time.Now()
	path, err := localPath(netip.MustParsePrefix("10.1.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what      string
		at        time.Duration // after the OPEN
		confirmed time.Duration // zero: not yet
		export    Policy
		want      bool
	}{
		{"before the OPEN", -time.Second, 0, Policy{Own: true}, false},
		{"before the session is confirmed", time.Second, 0, Policy{Own: true}, true},
		{"before the session was confirmed", time.Second, 2 * time.Second, Policy{Own: true}, true},
		{"after that", 3 * time.Second, 2 * time.Second, Policy{Own: true}, false},
		{"what the neighbor is not sent", time.Second, 0, policyOf("10.2.0.0/16"), false},
	} {
		n := &neighbor{Neighbor: Neighbor{Export: tt.export}}
		c := &confirmation{from: up}
		if tt.confirmed > 0 {
			c.to = up.Add(tt.confirmed)
		}
		s := &Speaker{confirming: map[*neighbor]*confirmation{n: c}, rib: newRIB(), kick: make(chan struct{}, 1)}
		s.lookForMissedLocked([]*apiutil.Path{path}, up.Add(tt.at))
		if n.applied.resetting != tt.want || len(s.kick) == 1 != tt.want {
			t.Errorf("%s: %v", tt.what, n.applied.resetting)
		}
	}
}
