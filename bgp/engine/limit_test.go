package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp/judge"
)

// ribSize is how many IPv4 paths GoBGP's own table holds.
func ribSize(t testing.TB, s *Speaker) int {
	t.Helper()
	n := 0
	err := s.server.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: gobgp.RF_IPv4_UC},
		func(_ gobgp.NLRI, paths []*apiutil.Path) { n += len(paths) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// waitRIB waits until GoBGP holds n IPv4 paths: what is refused does not reach
// it.
func waitRIB(t testing.TB, s *Speaker, n int) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		if got := ribSize(t, s); got != n {
			return fmt.Sprintf("GoBGP holds %d routes, not %d", got, n)
		}
		return ""
	})
}

func TestPrefixLimit(t *testing.T) {
	const limit, flood = 50, 10000
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", func(n *Neighbor) { n.MaxPrefixes = limit })
	all := manyPrefixes(0, flood)

	done := make(chan bool)
	go func() { // the limit is never passed, not even while the flood is on
		worst := 0
		for {
			select {
			case <-done:
				if worst > limit {
					t.Errorf("%d routes were seen, the limit is %d", worst, limit)
				}
				done <- true
				return
			default:
				worst = max(worst, len(s.Routes()))
				time.Sleep(time.Millisecond)
			}
		}
	}()
	p.update(64513, all, nil)
	eventually(t, 40*time.Second, func() string {
		if st := statusOf(s, "b"); st.Received != flood || st.Accepted != limit || st.Refused != flood-limit || st.State != "established" {
			return fmt.Sprintf("%+v", st)
		}
		if n := ribSize(t, s); n != limit {
			return fmt.Sprintf("GoBGP holds %d routes", n)
		}
		return ""
	})
	wantFirst := func(ps []netip.Prefix) {
		t.Helper()
		eventually(t, 40*time.Second, func() string {
			routes := s.Routes()
			if len(routes) != len(ps) {
				return fmt.Sprintf("%d routes, not %d", len(routes), len(ps))
			}
			for _, p := range ps {
				if routes[p].Best() != "b" {
					return "no route to " + p.String()
				}
			}
			return ""
		})
	}
	wantFirst(all[:limit])

	p.update(64513, nil, all[:10]) // those who wait move up, in order
	wantFirst(all[10 : limit+10])
	p.update(64513, nil, all[30:]) // and below the limit everyone is let in again
	wantFirst(all[10:30])
	p.update(64513, manyPrefixes(flood, 5), nil)
	wantFirst(append(all[10:30:30], manyPrefixes(flood, 5)...))
	done <- true
	<-done
	if st := statusOf(s, "b"); st.State != "established" || st.Received != 25 || st.Refused != 0 {
		t.Errorf("%+v", st)
	}
}

func TestLimitChangesWithPolicy(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", func(n *Neighbor) { n.MaxPrefixes = 3 })
	p.update(64513, prefixes("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
	set := func(imp Policy, limit int) {
		t.Helper()
		if err := s.SetPolicy(t.Context(), "b", imp, Policy{}, limit, 0); err != nil {
			t.Fatal(err)
		}
	}
	set(Policy{Any: true}, 4)
	waitRoutes(t, s, "b", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")
	set(Policy{Any: true}, 2)
	waitRoutes(t, s, "b", "10.1.0.0/16", "10.2.0.0/16")
	set(Policy{Prefixes: []Filter{filter("10.2.0.0/16", 0, 0), filter("10.5.0.0/16", 0, 0)}}, 2)
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.5.0.0/16")
	set(Policy{Any: true}, 0)
	waitRoutes(t, s, "b", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16")
	if st := statusOf(s, "b"); st.State != "established" {
		t.Errorf("%+v", st)
	}
}

// TestHardLimit has a peer announce more than it may: the session ends with the
// Cease that says why, the peer is left alone, and a reload tries again at once.
func TestHardLimit(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	other := rawSession(t, s, "c", 64514, "10.0.0.3", nil)
	local, peer := addRaw(t, s, "b", 64513, func(n *Neighbor) { n.MaxPrefixes, n.HardMaxPrefixes = 5, 20 })
	p := dialWhenActive(t, s, "b", peer, local)
	p.establish(64513, "10.0.0.2")
	p.update(64513, manyPrefixes(0, 20), nil)
	eventually(t, time.Minute, func() string {
		if st := statusOf(s, "b"); st.Received != 20 || st.Accepted != 5 || st.Refused != 15 {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	p.update(64513, manyPrefixes(20, 1000), nil)
	wantNotification(t, p, gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_MAXIMUM_NUMBER_OF_PREFIXES_REACHED)
	waitRoutes(t, s, "")
	eventually(t, time.Minute, func() string {
		if st := statusOf(s, "b"); !strings.HasPrefix(st.LastError, "down: too many prefixes") {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})

	// Also where its tunnel has gone down and up meanwhile, however long that takes here.
	s.mu.Lock()
	s.holds["b"].until = time.Now().Add(time.Hour)
	s.mu.Unlock()
	s.edit(func(all map[string]*Neighbor, _ *Wanted) {
		n := *all["b"]
		n.Generation++
		all["b"] = &n
	})
	waitState(t, s, "b", "active")
	again := dialRaw(t, peer, local)
	if m := again.read(); m != nil {
		t.Errorf("a peer that is to be left alone got %v", m)
	}
	if st := statusOf(s, "b"); !strings.HasPrefix(st.LastError, "down: too many prefixes") {
		t.Errorf("it is left alone, and nobody is told why: %+v", st)
	}
	if err := s.SetPolicy(t.Context(), "b", Policy{Any: true}, Policy{Own: true}, 2000, 4000); err != nil {
		t.Fatal(err)
	}
	p = dialWhenActive(t, s, "b", peer, local)
	p.establish(64513, "10.0.0.2")
	p.serve()
	p.update(64513, manyPrefixes(0, 1020), nil)
	eventually(t, time.Minute, func() string {
		if n := len(s.Routes()); n != 1020 {
			return fmt.Sprintf("%d routes", n)
		}
		return ""
	})
	other.update(64514, prefixes("10.9.0.0/16"), nil)
	eventually(t, time.Minute, func() string {
		if s.Routes()[prefixes("10.9.0.0/16")[0]].Best() != "c" {
			return "the other session does not go on"
		}
		return ""
	})
}

// TestHoldGrows plays a peer that announces too much again and again.
func TestHoldGrows(t *testing.T) {
	n := &neighbor{hold: &hold{}}
	want := firstHold
	for range 12 {
		before := time.Now()
		n.refuse(&judge.Notification{Code: 6, Subcode: 1})
		if until := n.hold.until; until.Before(before.Add(want)) || until.After(time.Now().Add(want)) {
			t.Fatalf("held for %v, not %v", until.Sub(before), want)
		}
		want = min(2*want, longestHold)
	}
	n.session.state, n.session.since = stateEstablished, time.Now().Add(-2*longestHold)
	n.refuse(&judge.Notification{Code: 6, Subcode: 1})
	if got := n.heldFor(); got > firstHold {
		t.Errorf("held for %v after a session that lasted", got)
	}
}

// TestHoldOutlivesChangedLimits has other limits, which are exceeded too, and then the tunnel go down and up: the peer is
// left alone all the same.
func TestHoldOutlivesChangedLimits(t *testing.T) {
	s := &Speaker{holds: map[string]*hold{}}
	want := Neighbor{Name: "b", MaxPrefixes: 5, HardMaxPrefixes: 20}
	n := &neighbor{Neighbor: want, hold: s.holdOf(&want), released: make(chan struct{}, 1)}
	want.MaxPrefixes, want.HardMaxPrefixes = 10, 40
	s.setPoliciesLocked(n, &want)
	n.refuse(&judge.Notification{Code: 6, Subcode: 1})
	if h := s.holdOf(&want); h != n.hold || h.count != 1 || time.Until(h.until) <= 0 {
		t.Errorf("after the tunnel was down the hold is %+v", h)
	}
	want.MaxPrefixes = 11
	if h := s.holdOf(&want); h.count != 0 || time.Until(h.until) > 0 {
		t.Errorf("with other limits the hold is %+v", h)
	}
}
