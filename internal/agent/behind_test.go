package agent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"warren/bgp"
	"warren/internal/fib"
)

// stateOf makes a state with attachments of these names, on interfaces of the same names.
func stateOf(names ...string) state {
	s := newState()
	all := map[string]attached{}
	for _, n := range names {
		all[n] = attached{peer: n, ifname: n, weight: 1, imports: bgp.Policy{Any: true}}
	}
	s.setAttached(all)
	return s
}

// active is what carries a prefix's packets, as fib has it.
func active(ways []fib.Way, down map[string]bool) (names []string) {
	for _, reserve := range []bool{false, true} {
		for _, w := range ways {
			if w.Reserve == reserve && !down[w.Interface] && (!reserve || len(names) == 0) {
				names = append(names, w.Interface)
			}
		}
	}
	return names
}

func used(names ...string) (ways []bgp.Way) {
	for _, n := range names {
		ways = append(ways, bgp.Way{Neighbor: n})
	}
	return ways
}

// That the speaker takes the ways of a tunnel that is down from the prefixes changes no route
// that the group of the others leads already. What is learned over none any more goes.
func TestDeadWaysTouchNothing(t *testing.T) {
	p, q := netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("2001:db8:2::/64")
	s := stateOf("b", "b/1", "c")
	touched := func() int { return len(s.touched.take(1000)) }
	s.learn(p, used("b", "b/1")...)
	s.learn(q, append(used("b/1"), bgp.Way{Neighbor: "c", Reserve: true})...)
	touched()

	s.down["b/1"] = true
	s.learn(p, used("b")...)
	s.learn(q, used("c")...)
	if n := touched(); n != 0 {
		t.Errorf("%d prefixes are written though nothing leads elsewhere", n)
	}
	s.learn(q)
	if c := desiredFor(&s, q); touched() != 1 || len(c.Ways) != 0 {
		t.Errorf("not learned any more, and wanted: %v", c)
	}
	s.learn(p, used("b", "c")...)
	if c := desiredFor(&s, p); touched() != 1 || len(c.Ways) != 2 || c.Ways[1].Interface != "c" {
		t.Errorf("another way has come, and wanted are %v", c)
	}

	s.learn(p, used("b", "b/1")...)
	s.learn(p, used("b")...)
	touched()
	delete(s.down, "b/1")
	if caught := s.catchUp(); !caught || touched() != 1 || len(desiredFor(&s, p).Ways) != 1 {
		t.Errorf("a way that has come back is used before it is announced: %v", desiredFor(&s, p))
	}
}

// Whatever comes and goes, packets go where what the speaker said last has them go.
func TestBehindLeadsTheSameWay(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		s := stateOf(names...)
		said := map[netip.Prefix][]bgp.Way{}
		stayed := 0
		for range 300 {
			name := names[rnd.IntN(len(names))]
			switch rnd.IntN(6) {
			case 0:
				s.down[name] = true
			case 1:
				delete(s.down, name)
				s.catchUp()
			default:
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4))}), 16)
				var ways []bgp.Way
				if rnd.IntN(3) > 0 { // the ways of those that are up: the others' are withdrawn
					ways = slices.DeleteFunc(slices.Clone(said[p]), func(w bgp.Way) bool { return s.down[w.Neighbor] })
				} else {
					in := rnd.IntN(4)
					for i, j := range rnd.Perm(len(names))[:rnd.IntN(len(names)+1)] {
						ways = append(ways, bgp.Way{Neighbor: names[j], Reserve: i > in})
					}
				}
				if len(ways) > 0 && ways[0].Reserve { // the best of what is left is used
					ways[0].Reserve = false
				}
				said[p] = ways
				s.learn(p, ways...)
			}
			stayed += len(s.behind)
			for p, ways := range said {
				var plain []fib.Way
				for _, w := range ways {
					plain = append(plain, fib.Way{Interface: w.Neighbor, Reserve: w.Reserve})
				}
				got, want := active(desiredFor(&s, p).Ways, s.down), active(plain, s.down)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d: %s: by %v, should be by %v; said %v, down %v", seed, p, got, want, ways, fmt.Sprint(s.down))
				}
			}
		}
		if stayed == 0 {
			t.Errorf("seed %d: no prefix kept a dead way", seed)
		}
	}
}

// Before a tunnel that comes back can be used, the prefixes get what the speaker said last.
func TestRoutesCatchUpBeforeAHopRises(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	w.up(t, "c")
	p := netip.MustParsePrefix("10.9.0.0/24")
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: used("b", "c")}
	w.learn()
	w.applyRoutes()
	ways := func() int { return len(w.routes.wanted[p].Ways) }
	if ways() != 2 {
		t.Fatalf("wanted: %v", w.routes.wanted[p])
	}
	w.down(t, "c")
	w.learns(t, "10.9.0.0/24", "b")
	if ways() != 2 || len(w.state.behind) != 1 {
		t.Errorf("with c down: %v, behind: %d", w.routes.wanted[p], len(w.state.behind))
	}
	mark := len(w.diary)
	w.up(t, "c")
	for _, line := range w.since(mark) {
		if strings.Contains(line, "dev if-b,if-c") {
			t.Errorf("c is used before it is announced: %s", line)
		}
	}
	if ways() != 1 || len(w.state.behind) != 0 || len(w.rising) != 0 || w.routes.hops[w.attachment("c").cfg.Interface].Down {
		t.Errorf("c is back: %v, behind: %d, rising: %v, hops: %v", w.routes.wanted[p], len(w.state.behind), w.rising, w.routes.hops)
	}
}
