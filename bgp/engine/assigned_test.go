package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"warren/bgp"
)

// assign has s announce what is assigned to a neighbor, and keep it from the others.
func assign(t testing.TB, s *Speaker, to string, assigned ...string) {
	t.Helper()
	s.edit(func(_ map[string]*Neighbor, w *Wanted) {
		w.Announced, w.Assigned = prefixes(assigned...), map[netip.Prefix][]string{}
		for _, p := range w.Announced {
			w.Assigned[p] = []string{to}
		}
		w.Protected = bgp.NewProtected(w.Announced, nil)
	})
	if err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func waitRival(t testing.TB, s *Speaker, name string, want bgp.Rival) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		if st := statusOf(s, name); st.Rival != want || st.Received == 0 {
			return fmt.Sprintf("status %+v", st)
		}
		return ""
	})
}

// TestRivals: two hubs that have assigned one address to two spokes see it, each by what the other one announces. One that has a
// session with both is no rival of itself, nor is anything known while there is no session.
func TestRivals(t *testing.T) {
	for name, asn := range map[string]uint32{"iBGP": 64512, "eBGP": 64513} {
		t.Run(name, func(t *testing.T) {
			one, two := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, asn, "10.0.0.2")
			attach(t, one, two, "two", asIs, asIs)
			assign(t, one, "a", "10.100.100.25/32", "10.100.100.27/32", "2001:db8:100::25/128")
			assign(t, two, "b", "10.100.100.25/32", "10.100.100.28/32", "2001:db8:100::25/128")
			waitRival(t, one, "two", bgp.Rival{}) // whose they are is not known yet

			rawSession(t, one, "a", 65000, "10.0.0.25", nil)
			rawSession(t, two, "b", 65000, "10.0.0.26", nil)
			rival := func(holder, id string) bgp.Rival {
				return bgp.Rival{Prefixes: 2, First: netip.MustParsePrefix("10.100.100.25/32"), Holder: holder, RouterID: netip.MustParseAddr(id)}
			}
			waitRival(t, one, "two", rival("a", "10.0.0.26"))
			waitRival(t, two, "hub", rival("b", "10.0.0.25"))

			// The spoke that has it by right comes to the other hub too.
			rawSession(t, two, "a", 65000, "10.0.0.25", nil)
			assign(t, two, "a", "10.100.100.25/32")
			waitRival(t, one, "two", bgp.Rival{})
			waitRival(t, two, "hub", bgp.Rival{})
		})
	}
}
