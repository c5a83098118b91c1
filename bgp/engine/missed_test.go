package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// TestNothingIsMissed has sessions come up while what is announced changes: in
// the end each peer has what is announced, and nothing else.
func TestNothingIsMissed(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	for round := range 15 {
		addrA, addrB := testAddrs()
		connectAt(t, a, b, addrA, addrB, nil, nil)
		var last []netip.Prefix
		began := time.Now()
		for i := 0; wantState(b, "a", stateEstablished) != "" || i < 20; i++ {
			last = manyPrefixes(1000*round+i, 20)
			a.edit(func(_ map[string]*Neighbor, w *Wanted) { w.Announced = last })
			if time.Since(began) > time.Minute {
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
