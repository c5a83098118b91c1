package engine

import (
	"fmt"
	"testing"

	"warren/bgp"
)

// drain has some sessions at one end drained, and the others not.
func drain(t *testing.T, s *Speaker, names ...string) {
	t.Helper()
	s.edit(func(all map[string]*Neighbor, _ *Wanted) {
		for name := range all {
			n := *all[name]
			n.Drained = false
			for _, d := range names {
				n.Drained = n.Drained || d == name
			}
			all[name] = &n
		}
	})
	if err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestDrain has one end of two sessions drain one of them: both ends use the other one, and the drained one
// is in reserve. Where both are drained they are used as before, by preference. No session is lost.
func TestDrain(t *testing.T) {
	for name, asn := range map[string]uint32{"eBGP": 64513, "iBGP": 64512} {
		t.Run(name, func(t *testing.T) {
			l := link(t, asn)
			l.want(t, "b1 b2 |", "a1 a2 |")
			since := statusOf(l.a, "b1").Since
			drain(t, l.a, "b1")
			l.want(t, "b2 | b1", "a2 | a1")
			drain(t, l.a, "b2")
			l.want(t, "b1 | b2", "a1 | a2")
			drain(t, l.a, "b1", "b2")
			l.want(t, "b1 b2 |", "a1 a2 |")
			prefer(t, l.a, "b", 0, 10)
			l.want(t, "b2 | b1", "a2 | a1")
			drain(t, l.a, "b2")
			l.want(t, "b1 | b2", "a1 | a2")
			drain(t, l.a)
			l.want(t, "b2 | b1", "a2 | a1")
			if st := statusOf(l.a, "b1"); !st.Since.Equal(since) {
				t.Error("the session is another one")
			}
		})
	}
}

// TestDrainOnTheWire has what peers are told: of the routes of a neighbor that is drained, and a neighbor
// that is.
func TestDrainOnTheWire(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	source := rawSession(t, s, "source", 64513, "10.0.0.2", nil)
	inside := rawSession(t, s, "inside", 64512, "10.0.0.3", nil)
	ebgp, ibgp := hearing(t, s, "ebgp", 64514, "10.0.0.4"), hearing(t, s, "ibgp", 64512, "10.0.0.5")
	source.announceWith([]uint32{64513}, 0, []uint32{other}, "10.10.0.0/16")
	source.announceWith([]uint32{64513}, 0, []uint32{shutdown}, "10.11.0.0/16")
	inside.announceWith(nil, 200, nil, "10.12.0.0/16")
	expectHeard(t, s, "ebgp", ebgp, map[string]string{"10.10.0.0/16": "64999:7", "10.11.0.0/16": "65535:0", "10.12.0.0/16": ""})
	drain(t, s, "source", "inside")
	expectHeard(t, s, "ebgp", ebgp, map[string]string{"10.10.0.0/16": "64999:7 65535:0", "10.11.0.0/16": "65535:0", "10.12.0.0/16": "65535:0"})
	expectHeard(t, s, "ibgp", ibgp, map[string]string{"10.10.0.0/16": "pref 0 64999:7 65535:0", "10.11.0.0/16": "pref 0 65535:0"})
	drain(t, s, "ibgp", "ebgp")
	expectHeard(t, s, "ebgp", ebgp, map[string]string{"10.10.0.0/16": "64999:7 65535:0", "10.11.0.0/16": "65535:0", "10.12.0.0/16": "65535:0"})
	expectHeard(t, s, "ibgp", ibgp, map[string]string{"10.10.0.0/16": "pref 0 64999:7 65535:0", "10.11.0.0/16": "pref 0 65535:0"})
	drain(t, s)
	expectHeard(t, s, "ebgp", ebgp, map[string]string{"10.10.0.0/16": "64999:7", "10.11.0.0/16": "65535:0", "10.12.0.0/16": ""})
	expectHeard(t, s, "ibgp", ibgp, map[string]string{"10.10.0.0/16": "pref 100 64999:7", "10.11.0.0/16": "pref 0 65535:0"})
}

// TestDrainSignals has the MED and the paths of drained neighbors.
func TestDrainSignals(t *testing.T) {
	const worst = 1<<32 - 1
	s := startSpeaker(t, 64512, "10.0.0.1")
	if err := s.SetAnnounced(t.Context(), prefixes("10.1.0.0/16")); err != nil {
		t.Fatal(err)
	}
	peers := map[string]*rawPeer{}
	for i, name := range []string{"b1", "c1", "i1"} {
		asn := []uint32{64513, 64514, 64512}[i]
		local, peer := addRaw(t, s, name, asn, nil)
		p := dialWhenActive(t, s, name, peer, local)
		p.establish(asn, fmt.Sprintf("10.0.0.%d", i+2))
		p.keepAlive()
		peers[name] = p
		waitState(t, s, name, "established")
	}
	drain(t, s, "b1", "i1")
	hears(t, peers["b1"], toldPath{"64512 64512 64512 64512 64512 64512 64512 64512 64512", worst, -1})
	hears(t, peers["i1"], toldPath{"", -1, 0})
	drain(t, s)
	hears(t, peers["b1"], toldPath{"64512", -1, -1})
	hears(t, peers["i1"], toldPath{"", -1, 100})

	n := func(asn uint32, preference int, drained bool) Neighbor {
		return Neighbor{ASN: asn, Preference: preference, Drained: drained}
	}
	w := Wanted{
		Neighbors: []Neighbor{n(1, 10, true), n(1, 0, false), n(2, 0, true), n(3, 10, false), n(4, 20, true)},
		Absent:    []bgp.Absent{{ASN: 2}},
	}
	loops := n(5, 0, true)
	loops.AllowOwnAS = 1
	w.Neighbors = append(w.Neighbors, loops)
	for _, c := range []struct {
		n    Neighbor
		want signal
	}{
		{n(1, 10, true), signal{true, worst - 1, 1}}, // its AS has another one, so that the MED is enough
		{n(1, 0, false), signal{true, 255, 1}},
		{n(2, 0, true), signal{true, worst, maxPrepended}},
		{n(3, 10, false), signal{true, 245, 1}},
		{n(4, 20, true), signal{true, worst - 2, maxPrepended}},
		{loops, signal{true, worst, 2}}, // copies of its own number would be loops to its like
	} {
		if is := newRanks(9, &w).signal(&c.n); is != c.want {
			t.Errorf("AS %d, preference %d: %+v, want %+v", c.n.ASN, c.n.Preference, is, c.want)
		}
	}
}
