package speaker

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func neighbor(name string, generation uint64) bgp.Neighbor {
	return bgp.Neighbor{Name: name, Generation: generation, ASN: 64513, Import: bgp.Policy{Any: true}, MaxPrefixes: 10}
}

// view applies what take returns, as the daemon does. A route's ways are as in "a b | c": those
// in use, and those in reserve; one with a gateway is a@192.0.2.1.
type view map[netip.Prefix]string

func (v view) take(t *table) {
	for p, r := range t.take(math.MaxInt) {
		if len(r.Ways) == 0 {
			delete(v, p)
		} else {
			v[p] = text(r.Ways)
		}
	}
}

func text(ways []bgp.Way) string {
	s := ""
	for i, w := range ways {
		switch {
		case w.Reserve && (i == 0 || !ways[i-1].Reserve):
			s += "| "
		case !w.Reserve && i > 0 && ways[i-1].Reserve:
			s += "wrong "
		}
		s += w.Neighbor
		if w.Gateway.IsValid() {
			s += "@" + w.Gateway.String()
		}
		s += " "
	}
	return strings.TrimSpace(s)
}

func (v view) check(t *testing.T, what string, want view) {
	t.Helper()
	if !maps.Equal(v, want) {
		t.Errorf("%s: routes are %v, want %v", what, v, want)
	}
}

// set tells the ways to a prefix, as in view.
func set(t *testing.T, tab *table, ways, p string, now time.Time) {
	t.Helper()
	if err := trySet(tab, ways, p, now); err != nil {
		t.Error(err)
	}
}

func trySet(tab *table, ways, p string, now time.Time) error {
	var all []wire.Way
	reserve := false
	for _, name := range strings.Fields(ways) {
		if name == "|" {
			reserve = true
			continue
		}
		name, via, _ := strings.Cut(name, "@")
		var gateway netip.Addr
		if via != "" {
			gateway = netip.MustParseAddr(via)
		}
		id := uint32(77)
		if o := tab.wanted[name]; o != nil {
			id = o.id
		}
		all = append(all, wire.Way{ID: id, Gateway: gateway, Reserve: reserve})
	}
	is, err := tab.resolve(all)
	if err != nil {
		return err
	}
	defer tab.forget(is)
	return tab.set(is, prefix(p), now)
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
		if len(tab.take(math.MaxInt)) > 0 {
			t.Error("the death of the process has changed routes")
		}
		return tab, v
	}
	all := view{prefix("10.1.0.0/16"): "a", prefix("10.2.0.0/16"): "a", prefix("2001:db8::/32"): "b"}

	tab, v := fresh()
	up(tab, "a", true, at(2))
	set(t, tab, "a", "10.1.0.0/16", at(3))
	if tab.expire(at(4)); len(tab.take(math.MaxInt)) > 0 {
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
	set(t, tab, "unknown", "10.2.0.0/16", now)
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
		err = trySet(tab, "a", fmt.Sprintf("11.%d.%d.0/24", i>>8, i&255), now)
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

// A policy that is tightened takes what was told before, whatever the process does, and one that is widened
// again has the process tell it again, which may have seen neither.
func TestPolicyIsTightened(t *testing.T) {
	tab, v, now := newTable(), view{}, time.Now()
	wide, b := neighbor("a", 1), neighbor("b", 1)
	p, q := prefix("10.1.0.0/16"), prefix("10.2.0.0/16")
	tab.want([]bgp.Neighbor{wide, b}, nil)
	set(t, tab, "a | b", "10.1.0.0/16", now)
	set(t, tab, "a | b", "10.2.0.0/16", now)
	set(t, tab, "a", "10.3.0.0/16", now)
	v.take(tab)
	narrow := wide
	narrow.Import = bgp.Policy{Prefixes: []bgp.Filter{{Prefix: q}}}
	tab.want([]bgp.Neighbor{narrow, b}, nil)
	v.take(tab)
	v.check(t, "tightened", view{p: "b", q: "a | b"})
	if a := tab.wanted["a"]; a.routes != 1 || !a.refused || a.repeat != 0 || tab.wanted["b"].refused {
		t.Errorf("a is %+v", a)
	}
	tab.want([]bgp.Neighbor{wide, b}, nil)
	if a := tab.wanted["a"]; a.refused || a.repeat != 1 {
		t.Errorf("widened, a is %+v", a)
	}
	for _, told := range []string{"10.1.0.0/16", "10.2.0.0/16"} {
		set(t, tab, "a | b", told, now)
	}
	v.take(tab)
	v.check(t, "told again", view{p: "a | b", q: "a | b"})
	tab.want([]bgp.Neighbor{narrow}, nil) // b goes at the same time
	v.take(tab)
	v.check(t, "without b", view{q: "a"})
	tab.want(nil, nil)
	tab.take(math.MaxInt)
	checkSets(t, tab)
}

// Ways come and go one by one: by what the process tells, by policy, and with their neighbors.
func TestSeveralWays(t *testing.T) {
	tab, v, now := newTable(), view{}, time.Now()
	all := []bgp.Neighbor{neighbor("a", 1), neighbor("b", 1), neighbor("c", 1)}
	tab.want(all, nil)
	p, q := prefix("10.1.0.0/16"), prefix("10.2.0.0/16")
	set(t, tab, "b a | c", "10.1.0.0/16", now)
	set(t, tab, "c | a", "10.2.0.0/16", now)
	v.take(tab)
	v.check(t, "at first", view{p: "a b | c", q: "c | a"})
	set(t, tab, "a b | c", "10.1.0.0/16", now)
	if changes := tab.take(math.MaxInt); len(changes) > 0 {
		t.Errorf("another order of those in use is told: %v", changes)
	}
	tab.want(all[:2], nil) // c's tunnel is down
	v.take(tab)
	v.check(t, "without c", view{p: "a b", q: "a"})
	set(t, tab, "a b | c", "10.1.0.0/16", now) // the process does not know yet
	v.take(tab)
	v.check(t, "without c, told again", view{p: "a b", q: "a"})

	narrow := all[0]
	narrow.Import = bgp.Policy{Prefixes: []bgp.Filter{{Prefix: q}}}
	tab.want([]bgp.Neighbor{narrow, all[1]}, nil)
	set(t, tab, "a | b", "10.1.0.0/16", now)
	set(t, tab, "a | b", "10.2.0.0/16", now)
	v.take(tab)
	v.check(t, "a's policy refuses one", view{p: "b", q: "a | b"})
	if tab.wanted["a"].routes != 1 || tab.wanted["b"].routes != 2 {
		t.Errorf("a has %d routes and b %d, want 1 and 2", tab.wanted["a"].routes, tab.wanted["b"].routes)
	}
	tab.want(nil, nil)
	v.take(tab)
	v.check(t, "without any", view{})
	checkSets(t, tab)

	tab.want(all, nil) // a way in reserve counts
	var err error
	for i := 0; err == nil && i < 1<<16; i++ {
		err = trySet(tab, "a | b", fmt.Sprintf("11.%d.%d.0/24", i>>8, i&255), now)
	}
	if err == nil {
		t.Error("neighbors of 10 prefixes may have 65536 ways")
	}
}

// While a process begins nothing that was used before is moved, and what it has told stays, way by way,
// when that is over.
func TestStaleWays(t *testing.T) {
	start := time.Now()
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	p := prefix("10.1.0.0/16")
	for _, c := range []struct {
		name, before, told, mixed, after string
		is                               []string // whose sessions are complete
	}{
		{name: "both come back", before: "a b", told: "a b", mixed: "a b", after: "a b"},
		{name: "one comes back, of two equal ones", before: "a b", told: "b", mixed: "a b", after: "b", is: []string{"a"}},
		{name: "the reserve comes back first", before: "a | b", told: "b", mixed: "a | b", after: "b", is: []string{"a"}},
		{name: "the best comes back first", before: "a | b", told: "a", mixed: "a | b", after: "a", is: []string{"b"}},
		{name: "another one comes", before: "a", told: "b", mixed: "a | b", after: "b", is: []string{"a"}},
		{name: "two others come, equal", before: "a", told: "b c", mixed: "a | b c", after: "b c", is: []string{"a"}},
		{name: "in another order", before: "a | b", told: "b | a", mixed: "b | a", after: "b | a"},
		{name: "none comes back", before: "a | b", told: "", mixed: "a | b", after: "", is: []string{"a", "b"}},
		{name: "none comes back in time", before: "a | b", told: "", mixed: "a | b", after: ""},
	} {
		tab, v := newTable(), view{}
		tab.want([]bgp.Neighbor{neighbor("a", 1), neighbor("b", 1), neighbor("c", 1)}, nil)
		set(t, tab, c.before, "10.1.0.0/16", start)
		v.take(tab)
		tab.orphan(at(60))
		if len(tab.take(math.MaxInt)) > 0 {
			t.Errorf("%s: the death of the process has changed a route", c.name)
		}
		set(t, tab, c.told, "10.1.0.0/16", at(2))
		v.take(tab)
		v.check(t, c.name+", mixed", view{p: c.mixed})
		tab.orphan(at(70)) // and dies again
		if len(tab.take(math.MaxInt)) > 0 {
			t.Errorf("%s: the second death of the process has changed a route", c.name)
		}
		set(t, tab, c.told, "10.1.0.0/16", at(12))
		v.take(tab)
		for _, name := range c.is {
			tab.setStatus(tab.wanted[name].id, bgp.NeighborStatus{State: stateEstablished, EndOfRIB: true}, at(13))
		}
		tab.expire(at(16))
		want := view{p: c.mixed}
		if len(c.is) > 0 {
			want[p] = c.after
		}
		if c.after == "" && len(c.is) > 0 {
			delete(want, p)
		}
		v.take(tab)
		v.check(t, c.name+", complete", want)
		tab.expire(at(70))
		if want[p] = c.after; c.after == "" {
			delete(want, p)
		}
		v.take(tab)
		v.check(t, c.name+", in the end", want)
		tab.want(nil, nil)
		tab.take(math.MaxInt)
		checkSets(t, tab)
	}
}
