package speaker

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/bgp"
)

// Whatever many neighbors lose together, by going or by policy, is gone, and nothing else is.
func TestLosesAgainstAModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	names := []string{"a", "b", "c", "d", "e"}
	for range 300 {
		tab, v := newTable(), view{}
		imports := map[string]bgp.Policy{}
		wants := func() (all []bgp.Neighbor) {
			for _, name := range names {
				if imports[name].Any || len(imports[name].Prefixes) > 0 {
					n := neighbor(name, 1)
					n.Import = imports[name]
					all = append(all, n)
				}
			}
			return all
		}
		for _, name := range names {
			imports[name] = bgp.Policy{Any: true}
		}
		tab.want(wants(), nil)
		model := map[netip.Prefix][]string{}
		for i := range 40 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)
			for _, at := range r.Perm(len(names))[:1+r.IntN(len(names))] {
				model[p] = append(model[p], names[at])
			}
			set(t, tab, strings.Join(model[p], " "), p.String(), time.Now())
		}
		for range 3 {
			for _, name := range names {
				switch r.IntN(4) {
				case 0:
					delete(imports, name)
				case 1:
					if _, ok := imports[name]; ok {
						imports[name] = bgp.Policy{Prefixes: []bgp.Filter{{Prefix: prefix("10.0.0.0/12"), Le: 16}, {Prefix: prefix(fmt.Sprintf("10.%d.0.0/16", 16+r.IntN(24)))}}}
					}
				}
			}
			tab.want(wants(), nil)
			v.take(tab)
			want := view{}
			for p, ways := range model {
				ways = slices.DeleteFunc(ways, func(name string) bool {
					is, ok := imports[name]
					return !ok || !is.Matches(p, false)
				})
				model[p] = ways
				if len(ways) > 0 {
					want[p] = strings.Join(slices.Sorted(slices.Values(ways)), " ")
				}
			}
			v.check(t, "lost", want)
			routes := 0
			for _, o := range tab.owners {
				routes += o.routes
			}
			left := 0
			for _, ways := range model {
				left += len(ways)
			}
			if routes != left || tab.routes.Len() != len(want) {
				t.Fatalf("%d ways to %d prefixes are counted, want %d to %d", routes, tab.routes.Len(), left, len(want))
			}
		}
		tab.want(nil, nil)
		tab.take(math.MaxInt)
		checkSets(t, tab)
	}
}

// checkSets checks that nothing is left of sets when there is no route.
func checkSets(t *testing.T, tab *table) {
	t.Helper()
	s := &tab.sets
	if tab.routes.Len()+tab.changed.Len()+len(s.ids)+len(s.names) > 0 || len(s.free) != len(s.all)-1 || len(s.spare) != len(s.told)-1 {
		t.Errorf("left: %d routes, %d changes, %d sets and %d told, %d and %d of %d and %d free", tab.routes.Len(), tab.changed.Len(),
			len(s.ids), len(s.names), len(s.free), len(s.spare), len(s.all)-1, len(s.told)-1)
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
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(6)), 0, 0}), 16)
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
				if changes := tab.take(math.MaxInt); len(changes) > 0 {
					t.Fatalf("nothing has changed, told is %v", changes)
				}
			case 1:
				delete(model, p)
				set(t, tab, "", p.String(), time.Now())
			default:
				ways := []string{"a", "b", "c", "a b", "a b | c", "c | a b", "c | b a"}[r.IntN(7)]
				model[p] = ways
				set(t, tab, ways, p.String(), time.Now())
			}
		}
		count, want := 0, 0
		for _, o := range tab.owners {
			count += o.routes
		}
		for _, ways := range model {
			want += len(strings.Fields(strings.ReplaceAll(ways, "|", "")))
		}
		if count != want || tab.routes.Len() != len(model) {
			t.Fatalf("the owners have %d ways to %d prefixes, want %d to %d", count, tab.routes.Len(), want, len(model))
		}
		tab.want(nil, nil)
		tab.take(math.MaxInt)
		checkSets(t, tab)
	}
}
