package fib

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Way is one way out. A hop is an interface, or a gateway on it; the prefixes that use the
// interface share what is said of it by [FIB.SetHop].
type Way struct {
	Interface string     // its name
	Neighbor  string     // whatever [FIB.SetLate] calls it by, of which an interface may have several
	Gateway   netip.Addr // without a zone, in a network of the interface; not valid: packets need none. For IPv4 also an IPv6 one
	Weight    int        // share of the flows, 1 to 256; 0 is 1
	Reserve   bool       // it carries nothing while one of the others can be used
}

const maxWeight = 256

// Change says what is wanted of a prefix from now on.
type Change struct {
	Prefix netip.Prefix // masked; no IPv4-mapped IPv6
	// The ways, best first. The prefix uses all that are not in reserve
	// and can be used; if there are none, the first of the reserve that can. Those of a late neighbor
	// count where there is no other that can be used. Those with one interface and one gateway are one, the best of them.
	// Where the kernel has no next-hop objects,
	// the first that can be used. None: the prefix leads nowhere.
	Ways []Way
	// Unreachable asks for a route beneath that tells the sender so at once, and has no
	// shorter prefix count, where there is no way. It has the metric [UnreachableMetric].
	Unreachable bool
}

// Hop is what is said of an interface beside what the kernel knows of it. The zero Hop
// is one that can be used, with the weights of the ways.
type Hop struct {
	Down   bool
	Weight int // instead of the ways'; 0: the ways'
}

// set is a set of ways that prefixes want. Those that want the same share it.
type set struct {
	number uint32 // by which entries refer to it
	ways   []Way  // best first, those in reserve last
	hops   int    // to how many hops they lead: several neighbors may name one
	key    string
	refs   [2]int      // prefixes of each family that want it
	group  [2]uint32   // the group object of each family; 0: none, or there is only one hop
	left   [2][]uint32 // group objects that its routes are being moved from
	failed [2]error    // why there is no group object
}

// sets holds the wanted sets. Guarded by FIB.mu.
type sets struct {
	all  map[string]*set              // by key
	list []*set                       // by number; nil: unused, as the first is
	by   map[string]map[*set]struct{} // by interface
	hops map[string]Hop
	late map[string]bool // neighbors
	via  *gateways
}

func newSets(via *gateways) sets {
	return sets{
		via: via,
		all: map[string]*set{}, list: make([]*set, 1), by: map[string]map[*set]struct{}{}, hops: map[string]Hop{}, late: map[string]bool{},
	}
}

// find returns the set of ways, which it makes if need be. The ways are copied.
func (s *sets) find(ways []Way) *set {
	if len(ways) == 1 && !ways[0].Gateway.IsValid() { // as of most prefixes
		if found := s.all[ways[0].Interface]; found != nil {
			return found
		}
	}
	var room [128]byte
	key := appendKey(room[:0], ways)
	if found := s.all[string(key)]; found != nil { // without a copy
		return found
	}
	made := &set{key: string(key)}
	for _, w := range ways {
		if !slices.ContainsFunc(made.ways, func(o Way) bool { return o.leadsWhere(w) && o.Neighbor == w.Neighbor }) {
			w.Weight = min(max(w.Weight, 1), maxWeight)
			if !slices.ContainsFunc(made.ways, w.leadsWhere) {
				made.hops++
			}
			made.ways = append(made.ways, w)
			s.via.use(s.via.number(w.Gateway))
		}
	}
	slices.SortStableFunc(made.ways, func(a, b Way) int {
		switch {
		case a.Reserve == b.Reserve:
			return 0
		case b.Reserve:
			return -1
		}
		return 1
	})
	s.all[made.key] = made
	s.enlist(made)
	for _, w := range made.ways {
		if s.by[w.Interface] == nil {
			s.by[w.Interface] = map[*set]struct{}{}
		}
		s.by[w.Interface][made] = struct{}{}
	}
	return made
}

// hasSeveral reports whether the set is a group where the kernel has objects.
func (s *set) hasSeveral() bool { return s.hops > 1 }

// leadsWhere reports whether two ways are one to the kernel.
func (w Way) leadsWhere(o Way) bool { return w.Interface == o.Interface && w.Gateway == o.Gateway }

// enlist gives a set a number.
func (s *sets) enlist(of *set) {
	n := 1 + slices.Index(s.list[1:], nil)
	if n == 0 {
		n = len(s.list)
		s.list = append(s.list, nil)
	}
	of.number, s.list[n] = uint32(n), of
}

// appendKey appends what tells sets apart: of a single way its interface, and the gateway if
// there is one.
func appendKey(b []byte, ways []Way) []byte {
	if len(ways) == 1 {
		if b = append(b, ways[0].Interface...); ways[0].Gateway.IsValid() {
			b = ways[0].Gateway.AppendTo(append(b, 0))
		}
		return b
	}
	for _, w := range ways {
		b = append(append(append(append(b, w.Interface...), 0), w.Neighbor...), 0)
		if w.Gateway.IsValid() {
			b = append(w.Gateway.AppendTo(b), 0)
		}
		b = strconv.AppendInt(b, int64(w.Weight), 10)
		b = append(strconv.AppendBool(b, w.Reserve), 0)
	}
	return b
}

// release forgets a set that no prefix wants.
func (s *sets) release(of *set) {
	if of.refs != [2]int{} {
		return
	}
	delete(s.all, of.key)
	s.list[of.number] = nil
	for _, w := range of.ways {
		s.via.release(s.via.number(w.Gateway))
		delete(s.by[w.Interface], of)
		if len(s.by[w.Interface]) == 0 {
			delete(s.by, w.Interface)
		}
	}
}

// groups yields the sets that need groups, in an order that does not change.
func (s *sets) groups() (several []*set) {
	for _, key := range slices.Sorted(maps.Keys(s.all)) {
		if of := s.all[key]; of.hasSeveral() {
			several = append(several, of)
		}
	}
	return several
}

// using returns the sets with a way by the interface.
func (s *sets) using(name string) map[*set]struct{} { return s.by[name] }

// weight is the share of a way.
func (s *sets) weight(w Way) int {
	if of := s.hops[w.Interface].Weight; of > 0 {
		return min(of, maxWeight)
	}
	return w.Weight
}

// namesOf is what an error says of ways: their interfaces, each once, as several ways may lead through one.
func namesOf(ways []Way) string {
	var names []string
	for _, w := range ways {
		if !slices.Contains(names, w.Interface) {
			names = append(names, w.Interface)
		}
	}
	return strings.Join(names, ",")
}
