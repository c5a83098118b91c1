package speaker

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"warren/bgp"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func neighbor(name string, generation uint64) bgp.Neighbor {
	return bgp.Neighbor{Name: name, Generation: generation, ASN: 64513, Import: bgp.Policy{Any: true}, MaxPrefixes: 10}
}

// view applies what take returns, as the daemon does.
type view map[netip.Prefix]string

func (v view) take(t *table) {
	for p, r := range t.take() {
		if r.Neighbor == "" {
			delete(v, p)
		} else {
			v[p] = r.Neighbor
		}
	}
}

func (v view) check(t *testing.T, what string, want view) {
	t.Helper()
	if !maps.Equal(v, want) {
		t.Errorf("%s: routes are %v, want %v", what, v, want)
	}
}

func set(t *testing.T, tab *table, name, p string, now time.Time) {
	t.Helper()
	if err := tab.set(tab.wanted[name].id, prefix(p), now); err != nil {
		t.Error(err)
	}
}

// The routes of a process that has died stay until their neighbor has announced others or has had time
// to, and no longer than that.
func TestStaleRoutes(t *testing.T) {
	start := time.Now()
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	up := func(tab *table, name string, end bool, now time.Time) {
		tab.setStatus(tab.wanted[name].id, bgp.NeighborStatus{State: stateEstablished, EndOfRIB: end}, now)
	}
	fresh := func() (*table, view) {
		tab, v := newTable(), view{}
		tab.want([]bgp.Neighbor{neighbor("a", 1), neighbor("b", 1)}, nil)
		set(t, tab, "a", "10.1.0.0/16", start)
		set(t, tab, "a", "10.2.0.0/16", start)
		set(t, tab, "b", "2001:db8::/32", start)
		v.take(tab)
		v.check(t, "at first", view{prefix("10.1.0.0/16"): "a", prefix("10.2.0.0/16"): "a", prefix("2001:db8::/32"): "b"})
		tab.orphan(at(60))
		tab.expire(at(1))
		if len(tab.take()) > 0 {
			t.Error("the death of the process has changed routes")
		}
		return tab, v
	}
	all := view{prefix("10.1.0.0/16"): "a", prefix("10.2.0.0/16"): "a", prefix("2001:db8::/32"): "b"}

	tab, v := fresh()
	up(tab, "a", true, at(2))
	set(t, tab, "a", "10.1.0.0/16", at(3))
	if tab.expire(at(4)); len(tab.take()) > 0 {
		t.Error("a neighbor that has just announced something is taken for done")
	}
	tab.expire(at(6))
	v.take(tab)
	v.check(t, "after the end of its table", view{prefix("10.1.0.0/16"): "a", prefix("2001:db8::/32"): "b"})
	if !tab.expire(at(59)) {
		t.Error("b's route is not stale any more")
	}
	if tab.expire(at(60)) {
		t.Error("something is stale after the last moment")
	}
	v.take(tab)
	v.check(t, "at the last moment", view{prefix("10.1.0.0/16"): "a"})

	tab, v = fresh()
	up(tab, "a", false, at(2))
	set(t, tab, "a", "10.2.0.0/16", at(3))
	tab.expire(at(12.5))
	v.take(tab)
	v.check(t, "without the end of the table, before its time", all)
	tab.expire(at(13.5))
	v.take(tab)
	v.check(t, "when it is quiet", view{prefix("10.2.0.0/16"): "a", prefix("2001:db8::/32"): "b"})

	tab, v = fresh()
	tab.want([]bgp.Neighbor{neighbor("b", 2)}, nil)
	v.take(tab)
	v.check(t, "one is gone, the other's tunnel was down", view{})

	tab, v = fresh()
	narrow := neighbor("a", 1)
	narrow.Import = bgp.Policy{Prefixes: []bgp.Filter{{Prefix: prefix("10.2.0.0/16")}}}
	tab.want([]bgp.Neighbor{narrow, neighbor("b", 1)}, bgp.NewProtected([]netip.Prefix{prefix("2001:db8::/32")}, nil))
	v.take(tab)
	v.check(t, "the policy refuses some now", view{prefix("10.2.0.0/16"): "a"})

	tab, v = fresh() // a second death: what was told again stays anew, what was not does not stay longer
	set(t, tab, "a", "10.1.0.0/16", at(10))
	tab.orphan(at(90))
	tab.expire(at(61))
	v.take(tab)
	v.check(t, "after a second death", view{prefix("10.1.0.0/16"): "a"})
	tab.expire(at(91))
	v.take(tab)
	v.check(t, "after its last moment", view{})
	if len(tab.owners) != 2 {
		t.Errorf("%d owners are left, want 2", len(tab.owners))
	}
}

// What the process tells is held against what is wanted.
func TestTellsOnlyWhatIsWanted(t *testing.T) {
	tab, v, now := newTable(), view{}, time.Now()
	n := neighbor("a", 1)
	n.Import = bgp.Policy{Prefixes: []bgp.Filter{{Prefix: prefix("10.0.0.0/8"), Le: 24}}}
	tab.want([]bgp.Neighbor{n}, bgp.NewProtected([]netip.Prefix{prefix("10.9.0.0/16")}, nil))
	for _, p := range []string{"10.1.0.0/16", "10.9.0.0/16", "11.0.0.0/8", "0.0.0.0/0"} {
		set(t, tab, "a", p, now)
	}
	if err := tab.set(77, prefix("10.2.0.0/16"), now); err != nil {
		t.Error(err)
	}
	v.take(tab)
	v.check(t, "what the policy lets in", view{prefix("10.1.0.0/16"): "a"})

	// What was refused is asked for again when the policy is another.
	before := tab.wanted["a"].repeat
	tab.want([]bgp.Neighbor{n}, tab.protected)
	if tab.wanted["a"].repeat != before {
		t.Error("the same policy asks for the routes again")
	}
	n.Import.Any = true
	tab.want([]bgp.Neighbor{n}, tab.protected)
	if tab.wanted["a"].repeat == before {
		t.Error("another policy does not ask for the routes again")
	}

	var err error
	for i := 0; err == nil && i < 1<<16; i++ {
		err = tab.set(tab.wanted["a"].id, netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 0}), 24), now)
	}
	if err == nil {
		t.Error("a neighbor of 10 prefixes may have 65536 routes")
	}
	st := bgp.NeighborStatus{Name: "other", ASN: 1, State: stateEstablished}
	tab.setStatus(tab.wanted["a"].id, st, now)
	tab.setStatus(77, st, now)
	if o := tab.wanted["a"]; o.status.Name != "a" || o.status.ASN != 64513 {
		t.Errorf("the status is %+v", o.status)
	}
}

// Whatever is set in whatever order, what was taken together is what there is, and what did not change
// is not told.
func TestTakeAgainstAModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		tab, v, model := newTable(), view{}, view{}
		names := []string{"a", "b", "c"}
		var all []bgp.Neighbor
		for _, n := range names {
			all = append(all, neighbor(n, 1))
		}
		tab.want(all, nil)
		for range 300 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(8)), 0, 0}), 16)
			switch r.IntN(6) {
			case 0:
				before := maps.Clone(v)
				v.take(tab)
				for p := range model {
					if before[p] == model[p] && v[p] != model[p] {
						t.Fatalf("%v is told wrongly", p)
					}
				}
				if !maps.Equal(v, model) {
					t.Fatalf("taken %v, there is %v", v, model)
				}
				if changes := tab.take(); len(changes) > 0 {
					t.Fatalf("nothing has changed, told is %v", changes)
				}
			case 1:
				delete(model, p)
				if err := tab.set(0, p, time.Now()); err != nil {
					t.Fatal(err)
				}
			default:
				name := names[r.IntN(len(names))]
				model[p] = name
				set(t, tab, name, p.String(), time.Now())
			}
		}
		count := 0
		for _, o := range tab.owners {
			count += o.routes
		}
		if count != len(tab.routes) || count != len(model) {
			t.Fatalf("the owners have %d routes, there are %d, want %d", count, len(tab.routes), len(model))
		}
	}
}
