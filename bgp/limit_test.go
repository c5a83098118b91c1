package bgp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
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
				if routes[p].Neighbor != "b" {
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
		if err := s.SetPolicy(t.Context(), "b", imp, Policy{}, limit); err != nil {
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

// TestLedger checks random histories against what must always hold.
func TestLedger(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	universe := manyPrefixes(0, 40)
	for range 100 {
		limit := rnd.IntN(12)
		l, imported := newLedger(), make(map[netip.Prefix]bool)
		imports := func(p netip.Prefix) bool { return p.Addr().As4()[3]>>4%4 != 3 }
		for range 200 {
			p := universe[rnd.IntN(len(universe))]
			switch rnd.IntN(6) {
			case 0, 1, 2:
				l.announce(p, imports(p), limit)
				imported[p] = imports(p)
			case 3, 4:
				l.withdraw(p)
				delete(imported, p)
			case 5:
				if rnd.IntN(4) == 0 {
					limit = rnd.IntN(12)
					l.judge(imports, limit)
				} else {
					l.settle(limit)
				}
				if l.needsWork(limit) {
					t.Fatal("work is left after settling")
				}
			}
			checkLedger(t, &l, imported, limit)
		}
	}
}

func checkLedger(t *testing.T, l *ledger, imported map[netip.Prefix]bool, limit int) {
	t.Helper()
	var acc, ref int
	for p, e := range l.entries {
		pass, there := imported[p]
		if !there || pass != (e.verdict != filtered) {
			t.Fatalf("%s: %+v, but imported %v, announced %v", p, e, pass, there)
		}
		switch e.verdict {
		case accepted:
			acc++
		case refused:
			ref++
		}
	}
	if len(l.entries) != len(imported) || acc != l.accepted || ref != l.refused || limit > 0 && acc > limit {
		t.Fatalf("%d entries of %d, accepted %d (%d), refused %d (%d), limit %d", len(l.entries), len(imported), acc, l.accepted, ref, l.refused, limit)
	}
	if ref > 0 && (limit == 0 || acc < limit) && !l.needsWork(limit) {
		t.Fatal("refused ones wait though there is room")
	}
}
