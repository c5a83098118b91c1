package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// TestKeptAcrossPolicies: filters and limits hold for stale routes too.
func TestKeptAcrossPolicies(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	g := newGracefulPeer(t, s, func(n *Neighbor) { n.MaxPrefixes, n.HardMaxPrefixes = 2, 3 })
	g.connect(caps(graceful(false, true, 60)), "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")
	g.endOfRIB()
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.3.0.0/16")
	g.lose()
	imports := Policy{Prefixes: []Filter{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ge: 17, Le: 24}, {Prefix: netip.MustParsePrefix("10.3.0.0/16")}}}
	if err := s.SetPolicy(t.Context(), "b", imports, Policy{}, 2, 3); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, s, "b", "10.3.0.0/16")
	g.connect(caps(graceful(true, true, 60)), "10.5.0.0/24", "10.6.0.0/24", "10.7.0.0/24")
	waitRoutes(t, s, "b", "10.3.0.0/16", "10.5.0.0/24")
	g.endOfRIB()
	waitRoutes(t, s, "b", "10.5.0.0/24", "10.6.0.0/24")
}

// TestKeptAgainAndAgain: a peer that announces all that it has each time keeps it however
// often it goes, but has to wait before it is taken.
func TestKeptAgainAndAgain(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	g := newGracefulPeer(t, s, nil)
	g.connect(caps(graceful(false, true, 60)), "10.2.0.0/16")
	g.endOfRIB()
	waitRoutes(t, s, "b", "10.2.0.0/16")
	w := &routeWatch{s: s}
	w.look()
	began := time.Now()
	for range maxRestarts + 2 {
		g.lose()
		g.wantStale(1)
		g.connect(caps(graceful(true, true, 60)), "10.2.0.0/16")
		g.endOfRIB()
		g.wantStale(0)
		// The one route is not stale any more before the marker has come, and a peer that goes without it is not kept.
		eventually(t, 40*time.Second, func() string {
			if st := statusOf(s, "b"); !st.EndOfRIB {
				return fmt.Sprintf("%+v", st)
			}
			return ""
		})
	}
	w.wantLost(t)
	if took := time.Since(began); took < restartDelay<<(maxRestarts-1) {
		t.Errorf("nothing has held up the peer, within %v", took)
	}
}

// TestKeptUntil: a stale route goes, however often the connection is lost.
func TestKeptUntil(t *testing.T) {
	first := time.Now()
	s, kept := &Speaker{restartTime: time.Minute}, &retention{first: first}
	for after, want := range map[time.Duration]time.Duration{
		time.Minute: time.Minute, 119 * time.Second: 119 * time.Second, 2 * time.Minute: 2 * time.Minute, time.Hour: 2 * time.Minute,
	} {
		if got := s.keptUntil(kept, first.Add(after)); !got.Equal(first.Add(want)) {
			t.Errorf("%v: %v, want %v", after, got.Sub(first), want)
		}
	}
}

// TestCutBetweenTwo cuts the connection between two speakers: neither loses a route, and
// both dial.
func TestCutBetweenTwo(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	originate(t, a, "10.1.0.0/16", "2001:db8:1::/48")
	originate(t, b, "10.2.0.0/16", "2001:db8:2::/48")
	connect(t, a, b, nil, nil)
	waitRoutes(t, a, "b", "10.2.0.0/16", "2001:db8:2::/48")
	waitRoutes(t, b, "a", "10.1.0.0/16", "2001:db8:1::/48")
	atA, atB := &routeWatch{s: a}, &routeWatch{s: b}
	atA.look()
	atB.look()
	for range 3 {
		sinceA, sinceB := statusOf(a, "b").Since, statusOf(b, "a").Since
		a.mu.Lock()
		conn := a.neighbors["b"].session.conn
		a.mu.Unlock()
		conn.hangUp()
		eventually(t, 40*time.Second, func() string {
			for _, st := range []NeighborStatus{statusOf(a, "b"), statusOf(b, "a")} {
				if st.State != stateEstablished || st.Stale != 0 || !st.RestartUntil.IsZero() || st.Since.Equal(sinceA) || st.Since.Equal(sinceB) {
					return fmt.Sprintf("%+v", st)
				}
			}
			return ""
		})
	}
	atA.wantLost(t)
	atB.wantLost(t)
	originate(t, a, "10.1.0.0/16", "10.4.0.0/16")
	waitRoutes(t, b, "a", "10.1.0.0/16", "10.4.0.0/16")
}

// TestEndedWhileAway ends GoBGP's session while it has no connection: the routes go, and
// the next connection is that of another session.
func TestEndedWhileAway(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	g := newGracefulPeer(t, s, nil)
	g.connect(caps(graceful(false, true, 4095)), "10.2.0.0/16")
	g.endOfRIB()
	waitRoutes(t, s, "b", "10.2.0.0/16")
	g.lose()
	g.wantStale(1)
	s.mu.Lock()
	n := s.neighbors["b"]
	s.mu.Unlock()
	s.disable(n, in(stateEstablished))
	waitRoutes(t, s, "")
	g.wantStale(0)
	g.connect(caps(graceful(false, true, 4095)), "10.3.0.0/16")
	waitRoutes(t, s, "b", "10.3.0.0/16")
}
