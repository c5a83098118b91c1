package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/bgp/byprefix"
)

// TestDropOfSeveral has neighbors forgotten together: all is as if each had been forgotten by itself.
func TestDropOfSeveral(t *testing.T) {
	for seed := range uint64(50) {
		one, several := newRIB(64512), newRIB(64512)
		rng := rand.New(rand.NewPCG(seed, 0))
		theirs := [2][]*neighbor{}
		for i := range 6 {
			for k := range theirs {
				theirs[k] = append(theirs[k], &neighbor{Neighbor: Neighbor{Name: fmt.Sprint(i), ASN: 64513}, number: uint32(i + 1)})
			}
		}
		for range 200 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rng.IntN(20)), 0, 0}), 16)
			from, kind, to := rng.IntN(6), rng.IntN(4), scope(rng.IntN(2))
			for k, r := range []*rib{&one, &several} {
				n := theirs[k][from]
				switch kind {
				case 0:
					r.set(p, n, to)
				case 1:
					r.move(n, []move{{prefix: p}})
				default:
					r.move(n, []move{{prefix: p, announced: true}})
				}
			}
		}
		gone := map[*neighbor]struct{}{}
		for _, r := range []*rib{&one, &several} {
			r.changed = byprefix.Map[struct{}]{}
			r.review = byprefix.Map[struct{}]{}
		}
		for _, i := range rng.Perm(6)[:1+rng.IntN(5)] {
			one.dropBest(theirs[0][i])
			one.dropHeld(theirs[0][i])
			gone[theirs[1][i]] = struct{}{}
		}
		several.drop(gone)
		if a, b := ribText(&one, theirs[0]), ribText(&several, theirs[1]); a != b {
			t.Fatalf("seed %d: each by itself:\n%s\ntogether:\n%s", seed, a, b)
		}
	}
}

// ribText is all that a rib has.
func ribText(r *rib, all []*neighbor) string {
	var lines []string
	names := func(list []*neighbor) (s []string) {
		for _, n := range list {
			s = append(s, n.Name)
		}
		return s
	}
	for p, id := range r.known.All() {
		set, best := r.sets[id], "none"
		if set.best != nil {
			best = set.best.Name
		}
		lines = append(lines, fmt.Sprint(p, " best ", best, " all ", names(set.all), " given ", names(set.given), " scope ", r.scopes.Get(p)))
	}
	for p := range r.changed.All() {
		lines = append(lines, fmt.Sprint(p, " changed"))
	}
	for p := range r.review.All() {
		if set := r.sets[r.known.Get(p)]; len(set.given) < len(set.all) { // else there is nothing to hand on
			lines = append(lines, fmt.Sprint(p, " review"))
		}
	}
	for _, n := range all {
		lines = append(lines, fmt.Sprint("neighbor ", n.Name, " ", n.routes, " ", n.held))
	}
	lines = append(lines, fmt.Sprint(len(r.ids), " sets"))
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestFirstRouteWhileGoBGPLags: the first route to a prefix waits for GoBGP, but for as long as that has routes of neighbors
// that are gone here it may say nothing of it.
func TestFirstRouteWhileGoBGPLags(t *testing.T) {
	for _, lags := range []bool{false, true} {
		r := newRIB(64512)
		r.lags = lags
		n := &neighbor{Neighbor: Neighbor{Name: "b", ASN: 64513}, number: 1}
		if told := r.move(n, []move{{prefix: netip.MustParsePrefix("10.2.0.0/16"), announced: true}}); told != lags {
			t.Errorf("GoBGP lags: %t, and it is told: %t", lags, told)
		}
	}
}

// TestRoutesThatGoBGPSaysNothingOf: they are told once GoBGP and the judges have been silent for a while, and once only.
func TestRoutesThatGoBGPSaysNothingOf(t *testing.T) {
	s := &Speaker{rib: newRIB(64512)}
	n := &neighbor{Neighbor: Neighbor{Name: "b", ASN: 64513}, number: 1}
	silent, heard := netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("10.3.0.0/16")
	if s.rib.move(n, []move{{prefix: silent, announced: true}, {prefix: heard, announced: true}}) {
		t.Fatal("they are told before GoBGP has them")
	}
	s.rib.set(heard, n, toAll)
	s.rib.changed = byprefix.Map[struct{}]{} // taken
	s.moved = time.Now()
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {heardWithin - 1, false}, {heardWithin, true}, {2 * heardWithin, false}} {
		if got := s.tellUnheardLocked(s.moved.Add(c.after)); got != c.want {
			t.Errorf("after %v: told %t, want %t", c.after, got, c.want)
		}
	}
	if !s.rib.changed.Has(silent) || s.rib.changed.Has(heard) {
		t.Errorf("told are %v", maps.Collect(s.rib.changed.All()))
	}
}
