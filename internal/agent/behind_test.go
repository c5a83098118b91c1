package agent

import (
	"fmt"
	"maps"
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

// onNetworks has attachments be no tunnels: what is learned over them has gateways.
func (s *state) onNetworks(names ...string) {
	for _, n := range names {
		a := s.attached[n]
		a.lan = true
		s.attached[n] = a
	}
}

// gatewayOf is a gateway on a network.
func gatewayOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}) }

// active is what carries a prefix's packets, as fib has it: interfaces, with the gateways if there are any.
func active(ways []fib.Way, down map[string]bool) (hops []string) {
	for _, reserve := range []bool{false, true} {
		for _, w := range ways {
			if w.Reserve != reserve || down[w.Interface] || reserve && len(hops) > 0 {
				continue
			}
			if w.Gateway.IsValid() {
				hops = append(hops, w.Interface+" via "+w.Gateway.String())
			} else {
				hops = append(hops, w.Interface)
			}
		}
	}
	return hops
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

// A gateway on a network that changes is used at once, also while a tunnel is down that led there too; and so is a peer that is
// reached by a tunnel now and was on a network.
func TestAnotherGatewayDoesNotStayBehind(t *testing.T) {
	p := netip.MustParsePrefix("10.2.0.0/24")
	s := stateOf("b", "r")
	s.onNetworks("r")
	s.learn(p, bgp.Way{Neighbor: "b"}, bgp.Way{Neighbor: "r", Gateway: gatewayOf(1)})
	s.down["b"] = true
	s.learn(p, bgp.Way{Neighbor: "r", Gateway: gatewayOf(1)})
	if len(s.behind) != 1 {
		t.Fatal("the same gateway is written")
	}
	for i := 2; i < 4; i++ {
		s.touched.take(10)
		s.learn(p, bgp.Way{Neighbor: "r", Gateway: gatewayOf(i)})
		if touched := s.touched.take(10); len(touched) != 1 || !slices.Equal(active(desiredFor(&s, p).Ways, s.down), []string{"r via " + gatewayOf(i).String()}) {
			t.Errorf("by gateway %v now, touched are %v, wanted is %v", gatewayOf(i), touched, desiredFor(&s, p))
		}
	}
	s.learn(p, bgp.Way{Neighbor: "b"}, bgp.Way{Neighbor: "r", Gateway: gatewayOf(1)})
	all := maps.Clone(s.attached)
	s.setAttached(map[string]attached{"b": all["b"], "r": {peer: "r", ifname: "if-r", weight: 1, imports: bgp.Policy{Any: true}}})
	s.learn(p, bgp.Way{Neighbor: "r"})
	if got := active(desiredFor(&s, p).Ways, s.down); !slices.Equal(got, []string{"if-r"}) {
		t.Errorf("r has a tunnel now, and packets go by %v", got)
	}
}

// As long as a tunnel is down a peer on a network may name one gateway after another: what no prefix leads to any more is forgotten.
func TestOriginsAreBounded(t *testing.T) {
	p, q := netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("10.3.0.0/24")
	const most = 6 // of origins: for each prefix one that it has, one behind, one that comes
	s := stateOf("b", "c", "r")
	s.onNetworks("c", "r")
	r := bgp.Way{Neighbor: "r", Gateway: gatewayOf(1)}
	s.learn(p, bgp.Way{Neighbor: "b"}, r)
	s.down["b"], s.down["c"] = true, true
	s.learn(p, r)
	for i := range 1000 {
		s.learn(p, r, bgp.Way{Neighbor: "c", Gateway: gatewayOf(i), Reserve: true}) // stays behind, as c is down
		s.learn(q, bgp.Way{Neighbor: "r", Gateway: gatewayOf(i)})
		if len(s.behind) != 1 {
			t.Fatalf("%d prefixes are behind", len(s.behind))
		}
	}
	if len(s.origins) > most+1 || len(s.ids) > most {
		t.Errorf("%d origins, %d of them known by their ways", len(s.origins), len(s.ids))
	}
	s.checkOrigins(t)
	s.catchUp()
	s.checkOrigins(t)
	if got, want := desiredFor(&s, p).Ways, gatewayOf(999); len(got) != 2 || got[1].Gateway != want {
		t.Errorf("%v, want gateway %v behind", got, want)
	}
	s.learn(p)
	s.learn(q)
	if s.checkOrigins(t); len(s.ids) > 0 {
		t.Errorf("nothing is learned, and there are origins %v", s.ids)
	}
}

// checkOrigins holds the origins to this: they are those that prefixes have or get yet, each counts how many, and the others
// can be given again.
func (s *state) checkOrigins(t *testing.T) {
	t.Helper()
	prefixes, waiting := map[originID]int{}, map[originID]int{}
	for _, id := range s.learned.All() {
		prefixes[id]++
	}
	for _, id := range s.behind {
		waiting[id]++
	}
	for id := originID(1); int(id) < len(s.origins); id++ {
		o := s.origins[id]
		free := slices.Contains(s.free, id)
		if has := prefixes[id]+waiting[id] > 0; o.prefixes != prefixes[id] || o.behind != waiting[id] || has == free || has && s.ids[o.key] != id {
			t.Fatalf("origin %d, %q: it counts %d and %d, there are %d and %d; free %v", id, o.key, o.prefixes, o.behind, prefixes[id], waiting[id], free)
		}
	}
	if len(s.ids)+len(s.free)+1 != len(s.origins) {
		t.Fatalf("%d origins, %d of them known, %d free", len(s.origins), len(s.ids), len(s.free))
	}
}

// Whatever comes and goes, packets go where what the speaker said last has them go.
func TestBehindLeadsTheSameWay(t *testing.T) {
	names := []string{"a", "b", "c", "d"} // the last two are on networks
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		s := stateOf(names...)
		s.onNetworks("c", "d")
		gateway := func(neighbor string) (g netip.Addr) {
			if s.attached[neighbor].lan {
				g = gatewayOf(1 + rnd.IntN(2))
			}
			return g
		}
		said := map[netip.Prefix][]bgp.Way{}
		stayed := 0
		for range 300 {
			name := names[rnd.IntN(len(names))]
			switch rnd.IntN(7) {
			case 0:
				s.down[name] = true
			case 1:
				delete(s.down, name)
				s.catchUp()
			default:
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4))}), 16)
				var ways []bgp.Way
				switch rnd.IntN(4) {
				case 0:
					in := rnd.IntN(4)
					for i, j := range rnd.Perm(len(names))[:rnd.IntN(len(names)+1)] {
						ways = append(ways, bgp.Way{Neighbor: names[j], Gateway: gateway(names[j]), Reserve: i > in})
					}
				case 1: // by other gateways
					for _, w := range said[p] {
						ways = append(ways, bgp.Way{Neighbor: w.Neighbor, Gateway: gateway(w.Neighbor), Reserve: w.Reserve})
					}
				default: // the ways of those that are up: the others' are withdrawn
					ways = slices.DeleteFunc(slices.Clone(said[p]), func(w bgp.Way) bool { return s.down[w.Neighbor] })
				}
				if len(ways) > 0 && ways[0].Reserve { // the best of what is left is used
					ways[0].Reserve = false
				}
				said[p] = ways
				s.learn(p, ways...)
			}
			stayed += len(s.behind)
			s.checkOrigins(t)
			for p, ways := range said {
				var plain []fib.Way
				for _, w := range ways {
					plain = append(plain, fib.Way{Interface: w.Neighbor, Gateway: w.Gateway, Reserve: w.Reserve})
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
