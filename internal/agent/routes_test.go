package agent

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/fib"
)

// changeTexts are changes in words, sorted, without those of prefixes of which nothing is
// wanted.
func changeTexts(changes []fib.Change) (texts []string) {
	for _, c := range changes {
		if len(c.Ways) > 0 || c.Unreachable {
			texts = append(texts, fmt.Sprintf("%s %v unreachable=%v", c.Prefix, c.Ways, c.Unreachable))
		}
	}
	slices.Sort(texts)
	return texts
}

// turns runs the loop's further turns.
func (w *world) turns() {
	for {
		select {
		case <-w.feed.again:
			w.learnSome()
			w.applyRoutes()
		default:
			return
		}
	}
}

// What the kernel's side was told step by step, of what has changed, is what it would be
// told of all prefixes, whatever has happened in whatever order.
func TestChangesMakeTheWhole(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			pick := func(words ...string) string { return words[rnd.IntN(len(words))] }
			w := newWorld(t, someRouter(rnd))
			for range 150 {
				switch rnd.IntN(10) {
				case 0:
					if name := pick("b", "c", "d"); w.attachment(name) != nil {
						w.up(t, name)
					}
				case 1:
					if name := pick("b", "c", "d"); w.attachment(name) != nil {
						w.down(t, name)
					}
				case 2:
					w.locals.connected = netips(pick("", "10.2.0.0/24", "10.2.0.0/16 10.3.0.0/24", "2001:db8:2::/48"))
					w.announce()
					w.applyRoutes()
				case 3:
					w.reloads(t, someRouter(rnd))
				case 4:
					w.forgets(t, w.started.AddDate(0, 0, rnd.IntN(3)))
				default:
					p := pick("10.2.0.0/16", "10.2.0.0/24", "10.3.0.0/24", "10.4.0.0/16", "2001:db8:2::/48", "0.0.0.0/0")
					w.learns(t, p, pick("b", "c", "d", ""))
				}
				w.turns()
				var told []fib.Change
				for _, c := range w.routes.wanted {
					told = append(told, c)
				}
				if got, want := changeTexts(told), changeTexts(desired(&w.state)); !slices.Equal(got, want) {
					t.Fatalf("told of\n%s\nof all it is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}

func someRouter(rnd *rand.Rand) *config.Config {
	var peers []config.Peer
	for i, name := range []string{"b", "c", "d"} {
		p := peerConfig(name, i)
		if rnd.IntN(4) == 0 {
			p.Tunnels[0].Interface = "other-" + name
		}
		if rnd.IntN(3) == 0 {
			p.BGP.Import = config.Policy{Prefixes: []config.PrefixFilter{{Prefix: netip.MustParsePrefix("10.2.0.0/24"), Ge: 24, Le: 32}}}
		}
		p.BGP.KeepLearned = rnd.IntN(3) == 0
		if rnd.IntN(3) == 0 {
			p.BGP.Unreachable = netips("10.4.0.0/16")
		}
		if rnd.IntN(4) > 0 {
			peers = append(peers, p)
		}
	}
	cfg := router(peers...)
	cfg.FIB.Table = mainTable
	cfg.Announce.Networks = netips([]string{"", "10.2.0.0/16", "10.3.0.0/24 10.4.0.0/16"}[rnd.IntN(3)])
	return cfg
}

// A change costs what it is about: nothing else is told, however many prefixes there are.
func TestOneChangeIsToldAlone(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	w.up(t, "c")
	for i := range 1000 {
		w.learns(t, fmt.Sprintf("11.%d.%d.0/24", i/250, i%250), "b")
	}
	clear(w.routes.wanted)
	w.learns(t, "11.0.7.0/24", "c")
	w.announce()
	w.applyRoutes()
	w.reloads(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.down(t, "b")
	w.up(t, "b")
	w.turns()
	var told []fib.Change
	for _, c := range w.routes.wanted {
		told = append(told, c)
	}
	expect(t, "told", changeTexts(told), []string{"11.0.7.0/24 [{if-c c invalid IP 1 false}] unreachable=false"})
}

// What was learned and is withdrawn leaves no memory behind.
func TestLearnedGivesMemoryBack(t *testing.T) {
	const n, kept, most = 100_000, 10, 4 // bytes a prefix
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what the first has found to be without use after its finalizer
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	numbered := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	s := newState()
	before := heap()
	for i := range n {
		s.learn(numbered(i), bgp.Way{Neighbor: "b"})
	}
	s.touched.prefixes = nil
	full := heap() - before
	for i := range n - kept {
		s.learn(numbered(i))
	}
	s.touched.prefixes = nil
	if left := heap() - before; s.learned.Len() != kept || left > n*most || full < 4*n*most {
		t.Errorf("%d prefixes left; %d bytes a prefix with the table, %d left", s.learned.Len(), full/n, left/n)
	}
	runtime.KeepAlive(&s)
}

// A weight that is changed concerns all that is learned from a peer, which the loop finds out in steps; what
// else changes meanwhile, another weight above all, is looked at too.
func TestTheLoopTakesAnotherWeightInSteps(t *testing.T) {
	const count = 3*routeStep + 5
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	w.up(t, "c")
	prefix := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	for i := range count {
		w.speaker.changes[prefix(i)] = way(prefix(i), []string{"b", "c"}[i%2])
	}
	w.learn()
	w.applyRoutes()
	w.turns()
	leading := func() (n int) {
		for _, c := range w.routes.wanted {
			if len(c.Ways) == 1 && c.Ways[0].Weight == 1 {
				n++
			}
		}
		return n
	}
	if n := leading(); n != count {
		t.Fatalf("%d prefixes, want %d", n, count)
	}
	next := maps.Clone(w.state.attached)
	weigh := func(name string) {
		a := next[name]
		a.weight = 2
		next = maps.Clone(next)
		next[name] = a
		w.state.setAttached(next)
	}
	weigh("b")
	w.applyRoutes()
	if n := leading(); n < count-routeStep || n == count {
		t.Errorf("%d of %d prefixes after the first step, want up to %d less", n, count, routeStep)
	}
	weigh("c")
	w.turns()
	if n := leading(); n != 0 {
		t.Errorf("%d prefixes have the weight of before, want none", n)
	}
}

// A million prefixes at once do not keep the loop from what else happens.
func TestTheLoopTakesAFullTableInSteps(t *testing.T) {
	const count = 3*routeStep + 5
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	prefix := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	for i := range count {
		w.speaker.changes[prefix(i)] = way(prefix(i), "b")
	}
	w.learn()
	w.applyRoutes()
	if n := len(w.routes.wanted); n != routeStep {
		t.Errorf("%d prefixes in the first step, want %d", n, routeStep)
	}
	// One of them changes again before its turn came.
	last := prefix(count)
	for p := range w.speaker.changes {
		last = p
	}
	w.speaker.changes[last] = bgp.Route{Prefix: last}
	w.learn()
	w.applyRoutes()
	w.turns()
	if n := len(changeTexts(slices.Collect(func(yield func(fib.Change) bool) {
		for _, c := range w.routes.wanted {
			if !yield(c) {
				return
			}
		}
	}))); n != count-1 {
		t.Errorf("%d prefixes in the end, want all but the one that was withdrawn: %d", n, count-1)
	}
}

// An old kernel is said.
func TestKernelWithoutObjectsIsAHint(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	said := func() bool {
		for _, h := range w.status().Router.Hints {
			if strings.Contains(h.Text, "no next-hop objects") {
				return true
			}
		}
		return false
	}
	if said() {
		t.Error("a kernel that has them is said not to")
	}
	if w.routes.noObjects = true; !said() {
		t.Error("status does not say it")
	}
}
