package engine

import (
	"cmp"
	"net/netip"
	"slices"

	"warren/bgp"
	"warren/bgp/byprefix"
	"warren/bgp/judge"
)

// Which ways lead to a prefix is found out when it is asked for, from what the judges
// know now. GoBGP says which is the best of them, and so what other neighbors are told. Where it
// has not said so yet, or the best is gone and it lags, the ways are compared here, as
// GoBGP does it: a neighbor that is lost leaves its ways' places to the others at once.

// A candidate is a neighbor that announces a prefix, accepted by its policy.
type candidate struct {
	n       *neighbor
	attrs   judge.Attributes
	gateway netip.Addr
}

// waysLocked returns the ways to p, as bgp.Route has them. They are valid until the next
// call.
func (s *Speaker) waysLocked(p netip.Prefix) []Way {
	r := &s.rib
	set := &r.sets[r.known.Get(p)]
	r.ways = r.ways[:0]
	if set.best == r.here {
		return nil // it begins here
	}
	if len(set.all) == 0 || len(set.all) == 1 && (set.best == nil || set.best == set.all[0]) {
		n := set.best
		if n == nil && len(set.all) > 0 {
			n = set.all[0]
		}
		if n != nil && n.session.conn != nil && n.session.conn.accepts(p) {
			if gateway, ok := n.gateway(p); ok {
				r.ways = append(r.ways, Way{Neighbor: n.Name, Gateway: gateway})
			}
		}
		return r.ways
	}
	r.candidates = r.candidates[:0]
	for _, n := range set.all {
		r.addCandidate(n, p)
	}
	if set.best != nil && !slices.Contains(set.all, set.best) {
		r.addCandidate(set.best, p)
	}
	return r.choose(set.best, r.asn)
}

func (r *rib) addCandidate(n *neighbor, p netip.Prefix) {
	if n.session.conn == nil {
		return
	}
	attrs, ok := n.session.conn.attributes(p)
	if !ok {
		return
	}
	if gateway, ok := n.gateway(p); ok {
		r.candidates = append(r.candidates, candidate{n, attrs, gateway})
	}
}

// choose makes ways of the candidates. asn is this router's.
func (r *rib) choose(best *neighbor, asn uint32) []Way {
	all := r.candidates
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b candidate) int { c, _ := a.compare(&b, asn); return c })
	first := all[0]
	if i := slices.IndexFunc(all, func(c candidate) bool { return c.n == best }); i >= 0 {
		first = all[i]
	}
	for _, reserve := range [...]bool{false, true} {
		from := len(r.ways)
		for i := range all {
			if all[i].equal(&first, asn) != reserve {
				r.ways = append(r.ways, Way{Neighbor: all[i].n.Name, Gateway: all[i].gateway, Reserve: reserve})
			}
		}
		if !reserve {
			// In one order for all prefixes, so that they have one set in common.
			slices.SortFunc(r.ways[from:], func(a, b Way) int { return cmp.Compare(a.Neighbor, b.Neighbor) })
		}
	}
	r.ways = r.ways[:min(len(r.ways), bgp.MaxWays)]
	clear(all) // refers to the judges' memory
	return r.ways
}

// compare is less than 0 if a is better than b, in the order of GoBGP 4.8.0
// (destination.insertSort) but for age and router ID, which only GoBGP compares: at is the step
// that decides.
func (a *candidate) compare(b *candidate, asn uint32) (c int, at bgp.Step) {
	x, y := &a.attrs, &b.attrs
	if c := trueLast(x.Stale, y.Stale); c != 0 {
		return c, bgp.StepStale
	}
	if c := cmp.Compare(y.LocalPref, x.LocalPref); c != 0 {
		return c, bgp.StepLocalPref
	}
	if c := cmp.Compare(x.Length, y.Length); c != 0 {
		return c, bgp.StepASPath
	}
	if c := cmp.Compare(x.Origin, y.Origin); c != 0 {
		return c, bgp.StepOrigin
	}
	if c := cmp.Compare(x.MED, y.MED); c != 0 && (x.Length == 0 || x.FirstAS == y.FirstAS) {
		return c, bgp.StepMED
	}
	internal := a.n.ASN == asn
	if c := trueLast(internal, b.n.ASN == asn); c != 0 {
		return c, bgp.StepEBGP
	}
	if c := cmp.Compare(x.Reflected, y.Reflected); c != 0 {
		return c, bgp.StepReflected
	}
	if internal {
		return 0, bgp.StepRouterID
	}
	return 0, bgp.StepAge
}

func trueLast(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// equal reports whether both are used at once if one is the best: see bgp.Way.
func (a *candidate) equal(b *candidate, asn uint32) bool {
	return a.attrs == b.attrs && (a.n.ASN == asn) == (b.n.ASN == asn)
}

// Routes returns the routes learned from neighbors. The map is the caller's. With many
// routes, TakeChanges is much cheaper.
func (s *Speaker) Routes() map[netip.Prefix]Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	routes := make(map[netip.Prefix]Route, s.rib.known.Len())
	for p := range s.rib.known.All() {
		if ways := s.waysLocked(p); len(ways) > 0 {
			routes[p] = Route{Prefix: p, Ways: slices.Clone(ways)}
		}
	}
	return routes
}

// Prefixes returns to how many prefixes there may be routes.
func (s *Speaker) Prefixes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rib.known.Len()
}

// TakeChanges returns what became of every prefix that may have changed since
// the last call: its route, without ways if there is none any more. It is for a single
// consumer, who applies it to a copy of its own; a prefix may be returned without having
// changed.
func (s *Speaker) TakeChanges() map[netip.Prefix]Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.rib.changed
	s.rib.changed = byprefix.Map[struct{}]{}
	routes := make(map[netip.Prefix]Route, changed.Len())
	for p := range changed.All() {
		routes[p] = Route{Prefix: p, Ways: slices.Clone(s.waysLocked(p))}
	}
	return routes
}

// EachChange calls f with what TakeChanges would return, for most prefixes at most, and
// reports whether there are more. f must not keep ways, nor call the speaker.
func (s *Speaker) EachChange(most int, f func(p netip.Prefix, ways []Way)) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.rib.changed.All() {
		if most--; most < 0 {
			return true
		}
		f(p, s.waysLocked(p))
		s.rib.changed.Delete(p)
	}
	return false
}

// Repeat has all routes of a neighbor count as changed.
func (s *Speaker) Repeat(neighbor string) {
	s.mu.Lock()
	if n := s.neighbors[neighbor]; n != nil {
		s.rib.touch(n)
	}
	s.mu.Unlock()
	s.notify()
}
