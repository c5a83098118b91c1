package agent

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"warren/bgp"
	"warren/bgp/byprefix"
	"warren/internal/fib"
)

// state is what desired decides from. The loop owns it. What changes a prefix touches it,
// so that the loop tells the kernel of the prefixes that have changed, and of no others.
type state struct {
	learned   byprefix.Map[originID]    // best routes
	origins   []*origin                 // by number; 0 is the one without ways
	free      []originID                // numbers to be given again
	ids       map[string]originID       // of the origins, by their ways
	attached  map[string]attached       // the attachments that are configured, by the names of their neighbors
	down      map[string]bool           // interfaces that routes cannot use
	late      map[string]bool           // neighbors whose ways carry nothing where there is another one
	behind    map[netip.Prefix]originID // what the speaker says of prefixes for which learned does as well: see stays
	protected *bgp.Protected            // what no neighbor may take

	unreachable map[netip.Prefix]struct{} // what must never take another way
	noIPv6      bool                      // the kernel has none
	kept        memory                    // what must not while the peer is gone that it was learned from

	assigned map[netip.Prefix][]string // addresses of peers, with the neighbors behind their tunnels (assign.go)

	touched *touched
}

// originID stands for an origin where there are many: it is no pointer.
type originID uint32

// origin is the set of ways by which a prefix is learned. Prefixes share it.
type origin struct {
	neighbors []string     // their names, best first
	gateways  []netip.Addr // of each; not valid for a neighbor at the far end of a tunnel
	used      int          // so many of them are used at once; the others are in reserve
	key       string
	prefixes  int // that have it
	behind    int // that have it in state.behind
}

// attached is what routes over an attachment need to know of it.
type attached struct {
	peer    string
	ifname  string
	lan     bool // it is no tunnel: packets need a gateway
	weight  int  // share of the flows
	imports bgp.Policy

	preference int // among the peer's tunnels
}

func newState() state {
	t := &touched{}
	return state{
		origins: []*origin{{}}, ids: map[string]originID{}, attached: map[string]attached{},
		down: map[string]bool{}, late: map[string]bool{}, behind: map[netip.Prefix]originID{},
		unreachable: map[netip.Prefix]struct{}{}, kept: newMemory(t), touched: t,
	}
}

// learn takes note of the ways to a prefix, best first; none is that it is not learned any
// more.
func (s *state) learn(prefix netip.Prefix, ways ...bgp.Way) {
	next := originID(0)
	if len(ways) > 0 {
		next = s.originOf(ways)
	}
	if before, ok := s.learned.Find(prefix); ok && next != 0 && before != next && s.stays(s.origins[before], s.origins[next]) {
		s.setBehind(prefix, next)
		return
	}
	s.touched.add(prefix)
	s.setLearned(prefix, next)
	s.setBehind(prefix, 0)
}

// setLearned notes the origin of a prefix, 0 if it is not learned.
func (s *state) setLearned(prefix netip.Prefix, id originID) {
	before := s.learned.Get(prefix)
	s.origins[id].prefixes++
	s.origins[before].prefixes--
	if id == 0 {
		s.learned.Delete(prefix)
	} else {
		s.learned.Set(prefix, id)
	}
	s.release(before)
}

// setBehind notes the origin that a prefix gets later, 0 if it has what the speaker says.
func (s *state) setBehind(prefix netip.Prefix, id originID) {
	before, was := s.behind[prefix]
	if id != 0 {
		s.origins[id].behind++
		s.behind[prefix] = id
	} else if was {
		delete(s.behind, prefix)
	}
	if was {
		s.origins[before].behind--
		s.release(before)
	}
}

// originOf returns the number of the origin with these ways.
func (s *state) originOf(ways []bgp.Way) originID {
	key := make([]byte, 0, 128) // as a string only where the ways are new: most prefixes share theirs
	for _, w := range ways {
		key = append(append(key, w.Neighbor...), ' ')
		if w.Gateway.IsValid() {
			key = append(w.Gateway.AppendTo(key), ' ')
		}
		key = strconv.AppendBool(key, w.Reserve)
	}
	id, ok := s.ids[string(key)]
	if !ok {
		from := &origin{key: string(key)}
		for _, w := range ways {
			from.neighbors, from.gateways = append(from.neighbors, w.Neighbor), append(from.gateways, w.Gateway)
			if !w.Reserve {
				from.used++
			}
		}
		if n := len(s.free); n > 0 {
			id, s.free = s.free[n-1], s.free[:n-1]
			s.origins[id] = from
		} else {
			id = originID(len(s.origins))
			s.origins = append(s.origins, from)
		}
		s.ids[from.key] = id
	}
	return id
}

// release gives up an origin that no prefix has any more, nor gets later: with gateways there may be as many as
// prefixes, and others the next moment.
func (s *state) release(id originID) {
	o := s.origins[id]
	if id == 0 || o.prefixes+o.behind > 0 {
		return
	}
	delete(s.ids, o.key)
	s.origins[id] = &origin{}
	s.free = append(s.free, id)
}

// protect changes what no neighbor may take.
func (s *state) protect(next *bgp.Protected) {
	if next.Equal(s.protected) {
		return
	}
	affected := next.Affects(s.protected)
	s.protected = next
	s.touched.walk(&s.learned, func(prefix netip.Prefix, _ originID) bool { return affected(prefix) })
	for prefix := range s.kept.prefixes {
		if affected(prefix) {
			s.touched.add(prefix)
		}
	}
}

// setAttached changes which attachments are configured, and what may be learned over them.
func (s *state) setAttached(next map[string]attached) {
	for p := range s.assigned {
		s.touched.add(p)
	}
	changed, filtered := map[originID]bool{}, map[originID]bool{}
	for id, from := range s.origins {
		for _, name := range from.neighbors {
			same, imports := sameRoutes(s.attached, next, name)
			if !same {
				changed[originID(id)] = true
			}
			if !imports {
				filtered[originID(id)] = true
			}
		}
	}
	if s.attached = next; len(changed)+len(filtered) == 0 {
		return
	}
	s.catchUp()
	s.touched.walk(&s.learned, func(p netip.Prefix, id originID) bool {
		return changed[id] || filtered[id] && s.protected.Concerns(p) // desiredFor asks no filter of others
	})
}

// sameRoutes reports whether what is learned from a neighbor makes the same routes, and whether it passes
// the same filters.
func sameRoutes(before, next map[string]attached, name string) (same, imports bool) {
	a, was := before[name]
	b, is := next[name]
	return was == is && a.ifname == b.ifname && a.lan == b.lan && a.weight == b.weight, a.imports.Equal(b.imports)
}

// setUnreachable changes what must never take another way.
func (s *state) setUnreachable(prefixes []netip.Prefix) {
	next := make(map[netip.Prefix]struct{}, len(prefixes))
	for _, p := range prefixes {
		next[p] = struct{}{}
		if _, before := s.unreachable[p]; !before {
			s.touched.add(p)
		}
	}
	for p := range s.unreachable {
		if _, still := next[p]; !still {
			s.touched.add(p)
		}
	}
	s.unreachable = next
}

// setNoIPv6 notes whether the kernel has no IPv6.
func (s *state) setNoIPv6(none bool) {
	if s.noIPv6 == none {
		return
	}
	s.noIPv6 = none
	for p := range s.unreachable {
		s.touched.add(p)
	}
	for p := range s.kept.prefixes {
		s.touched.add(p)
	}
}

// desired says which routes the kernel should have, of all prefixes.
func desired(s *state) (all []fib.Change) {
	prefixes := make(map[netip.Prefix]struct{}, s.learned.Len())
	for p := range s.learned.All() {
		prefixes[p] = struct{}{}
	}
	for p := range s.kept.prefixes {
		prefixes[p] = struct{}{}
	}
	maps.Copy(prefixes, s.unreachable)
	for p := range s.assigned {
		prefixes[p] = struct{}{}
	}
	for p := range prefixes {
		if c := desiredFor(s, p); len(c.Ways) > 0 || c.Unreachable {
			all = append(all, c)
		}
	}
	return all
}

// desiredFor says which routes a prefix should have: it leaves by the tunnels of the
// neighbors it was learned from, of which fib knows which can be used. The way out is the
// session, not the next hop, because a tunnel has exactly one peer; on a network with others it
// is the gateway there. Beneath may be an unreachable route, which counts where no other one is
// left.
//
// The speaker refuses what is protected itself; it is left out here as well,
// because a prefix becomes local (an address is added) before the speaker has
// taken its routes back.
func desiredFor(s *state, prefix netip.Prefix) fib.Change {
	c := fib.Change{Prefix: prefix, Unreachable: isUnreachable(s, prefix)}
	if c.Ways = s.assignedWays(prefix); len(c.Ways) > 0 {
		return c
	}
	from := s.origins[s.learned.Get(prefix)]
	if len(from.neighbors) == 0 {
		return c
	}
	concerned := s.protected.Concerns(prefix)
	for i, name := range from.neighbors {
		a, ok := s.attached[name]
		if !ok {
			continue
		}
		if concerned {
			if ok, _ := a.imports.Accepts(prefix, s.protected); !ok {
				continue
			}
		}
		if a.lan != from.gateways[i].IsValid() {
			continue // the speaker has not taken back yet what the peer was before a reload
		}
		c.Ways = append(c.Ways, fib.Way{Interface: a.ifname, Neighbor: name, Gateway: from.gateways[i], Weight: a.weight, Reserve: i >= from.used})
	}
	return c
}

// isUnreachable says whether a prefix leads nowhere: beneath other routes that does
// nothing, and it takes over by itself when they go. What was learned, and is inside
// something of this router's own by now, would hide a part of that.
func isUnreachable(s *state, prefix netip.Prefix) bool {
	if s.noIPv6 && isIPv6(prefix) {
		return false // nothing can go there
	}
	if _, always := s.unreachable[prefix]; always {
		return true
	}
	_, kept := s.kept.prefixes[prefix]
	return kept && !s.protected.Concerns(prefix)
}

// nowhere is the part of desired that leads nowhere.
func nowhere(s *state) (all []fib.Change) {
	for _, c := range desired(s) {
		if c.Unreachable {
			all = append(all, fib.Change{Prefix: c.Prefix, Unreachable: true})
		}
	}
	return all
}

// unreachable is what must never take another way than its own. These are the
// networks that are at home: a packet to a part of one that no route leads to
// belongs nowhere else, neither to the Internet nor, by a learned default route, to a
// peer, which would send it back. A network that is connected as a whole needs none.
func unreachable(networks, connected []netip.Prefix) (prefixes []netip.Prefix) {
	for _, n := range networks {
		if atHome(n) && !slices.Contains(connected, n) {
			prefixes = append(prefixes, n)
		}
	}
	return prefixes
}

// announced is what this router offers: the configured networks, the prefixes
// that redistribute found, each once.
func announced(networks, locals []netip.Prefix) []netip.Prefix {
	all := slices.Concat(networks, locals)
	slices.SortFunc(all, comparePrefix)
	return slices.Compact(all)
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
