package engine

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"

	"warren/bgp/byprefix"
)

// A rib knows of each prefix which neighbors may have a route to it, and which of them
// GoBGP's best path comes from. Speaker.mu guards it.
//
// What the neighbors announce, and with which attributes, is in the judges' tables, so
// that nothing of it is here a second time: ways.go asks them. So a rib may name
// neighbors that have no route any more, but never misses one that has.
//
// Most prefixes have the same neighbors as many others. So each set of neighbors is kept
// once, and counts the prefixes that have it.
type rib struct {
	known   byprefix.Map[setID]
	sets    []routeSet       // by number; 0 is the set of a prefix that is not known
	ids     map[string]setID // of the sets, see makeKey
	free    []setID
	changed byprefix.Map[struct{}] // since TakeChanges
	review  byprefix.Map[struct{}] // what is withheld of them may have to be handed on, see choice.go
	scopes  byprefix.Map[scope]    // of the best ones that may not be sent to all
	lags    bool                   // GoBGP still has routes of neighbors that are gone here
	unheard bool                   // routes are not told yet, since GoBGP is to say first that it has them; see unheard.go
	here    *neighbor              // stands for this router, where GoBGP's best path is its own
	asn     uint32                 // this router's

	key        []byte      // scratch memory
	all, given []*neighbor // likewise
	candidates []candidate // of ways.go, likewise
	ways       []Way       // likewise
}

type setID uint32

// A routeSet is what is known of a prefix.
type routeSet struct {
	best  *neighbor   // where GoBGP's best path comes from: nil for none, or rib.here
	all   []*neighbor // whose judges accept a route, by number
	given []*neighbor // of these: GoBGP is given the route
	refs  int         // how many prefixes have the set
}

func newRIB(asn uint32) rib {
	return rib{
		asn:  asn,
		sets: make([]routeSet, 1), ids: make(map[string]setID),
		here: &neighbor{number: math.MaxUint32},
	}
}

// learned is the neighbor that GoBGP's best path was learned from, if any.
func (r *rib) learned(id setID) *neighbor {
	if n := r.sets[id].best; n != r.here {
		return n
	}
	return nil
}

// bestOf is the neighbor that GoBGP's best path to p was learned from, if any.
func (r *rib) bestOf(p netip.Prefix) *neighbor { return r.learned(r.known.Get(p)) }

// visible returns that neighbor if its route is still good: GoBGP may be slow to take
// back what the peer, or its limit, has taken back.
func (r *rib) visible(p netip.Prefix) *neighbor {
	if n := r.bestOf(p); n != nil && n.session.conn != nil && n.session.conn.accepts(p) {
		return n
	}
	return nil
}

// intern returns the number of a set, which counts one prefix more, and makes it if there
// is none. It does not keep all and given.
func (r *rib) intern(best *neighbor, all, given []*neighbor) setID {
	if best == nil && len(all) == 0 {
		return 0
	}
	r.makeKey(best, all, given)
	id, ok := r.ids[string(r.key)]
	if !ok {
		if n := len(r.free); n > 0 {
			id, r.free = r.free[n-1], r.free[:n-1]
		} else {
			id = setID(len(r.sets))
			r.sets = append(r.sets, routeSet{})
		}
		r.sets[id] = routeSet{best: best, all: slices.Clone(all), given: slices.Clone(given)}
		r.ids[string(r.key)] = id
	}
	r.sets[id].refs++
	return id
}

// makeKey sets r.key to what tells a set from others.
func (r *rib) makeKey(best *neighbor, all, given []*neighbor) {
	var first uint32
	if best != nil {
		first = best.number
	}
	r.key = binary.BigEndian.AppendUint32(r.key[:0], first)
	for _, n := range all {
		r.key = binary.BigEndian.AppendUint32(r.key, n.number)
	}
	if len(given) < len(all) {
		r.key = append(r.key, 0) // numbers begin at 1, and have four octets
		for _, n := range given {
			r.key = binary.BigEndian.AppendUint32(r.key, n.number)
		}
	}
}

// release takes back what intern has counted.
func (r *rib) release(id setID) {
	if id == 0 {
		return
	}
	set := &r.sets[id]
	if set.refs--; set.refs > 0 {
		return
	}
	r.makeKey(set.best, set.all, set.given)
	delete(r.ids, string(r.key))
	*set = routeSet{}
	r.free = append(r.free, id)
}

// put gives p another set, which was interned for it.
func (r *rib) put(p netip.Prefix, was, id setID) {
	if id == 0 {
		r.known.Delete(p)
	} else if id != was {
		r.known.Set(p, id)
	}
	r.release(was)
}

// set records that GoBGP's best path to p now comes from n, from none if n is nil, or from
// here, and to whom it may be sent.
func (r *rib) set(p netip.Prefix, n *neighbor, to scope) {
	if n != nil && n != r.here && to != toAll {
		r.scopes.Set(p, to)
	} else {
		r.scopes.Delete(p)
	}
	id := r.known.Get(p)
	was, all, given := r.sets[id].best, r.sets[id].all, r.sets[id].given
	if n == nil && was == nil {
		return
	}
	// What the peer has withdrawn was told when it did, and what begins here is not told. That
	// saves a second look at each prefix of a table that goes.
	quiet := (n == nil || n == r.here) && len(all) == 0 && r.visible(p) == nil
	if was != n {
		if was != nil {
			was.routes--
		}
		if n != nil {
			n.routes++
		}
		r.put(p, id, r.intern(n, all, given))
	}
	if !quiet {
		r.changed.Set(p, struct{}{})
	}
}

// move takes in what n's judge has handed on or withdrawn, and reports whether anything is
// to be told. The first route to a prefix is told when GoBGP has taken it, unless that may prefer one that is gone. It notes
// with the moves which of the routes are withheld from GoBGP.
func (r *rib) move(n *neighbor, moves []move) (told bool) {
	for i := range moves {
		m := &moves[i]
		id := r.known.Get(m.prefix)
		set := r.sets[id]
		best, all, given := set.best, set.all, set.given
		_, gave := slices.BinarySearchFunc(given, n, byNumber)
		if m.announced {
			all = r.with(&r.all, all, n)
			if m.withheld = !gave && !r.mayBeBest(n, m.prefix, given); !m.withheld {
				given = r.with(&r.given, given, n)
			}
		} else {
			all, given = r.without(&r.all, all, n), r.without(&r.given, given, n)
		}
		n.held += len(all) - len(set.all)
		if len(all) != len(set.all) || len(given) != len(set.given) {
			r.put(m.prefix, id, r.intern(best, all, given))
		}
		if gave && len(given) < len(all) {
			r.review.Set(m.prefix, struct{}{})
		}
		if !m.announced || best != nil && best != n || r.lags {
			r.changed.Set(m.prefix, struct{}{})
			told = true
		} else if best == nil {
			r.unheard = true
		}
	}
	return told
}

func byNumber(a, b *neighbor) int { return cmp.Compare(a.number, b.number) }

// with returns a list of neighbors, in order, with n in it, in the memory of scratch if it is another one.
func (r *rib) with(scratch *[]*neighbor, list []*neighbor, n *neighbor) []*neighbor {
	at, has := slices.BinarySearchFunc(list, n, byNumber)
	if has {
		return list
	}
	*scratch = slices.Insert(append((*scratch)[:0], list...), at, n)
	return *scratch
}

// without is with's opposite.
func (r *rib) without(scratch *[]*neighbor, list []*neighbor, n *neighbor) []*neighbor {
	at, has := slices.BinarySearchFunc(list, n, byNumber)
	if !has {
		return list
	}
	*scratch = slices.Delete(append((*scratch)[:0], list...), at, at+1)
	return *scratch
}

// drop does for several neighbors what dropBest and dropHeld do for one, in one pass over the prefixes: with many
// tunnels lost at once each would be a walk through the whole table.
func (r *rib) drop(gone map[*neighbor]struct{}) {
	some := 0
	for n := range gone {
		some += n.routes + n.held
		n.routes, n.held = 0, 0
	}
	if some == 0 {
		return
	}
	leaves := func(n *neighbor) bool { _, ok := gone[n]; return ok }
	r.rewrite(func(set *routeSet) (*neighbor, []*neighbor, []*neighbor, bool) {
		best := set.best
		if leaves(best) {
			best = nil
		}
		r.all = slices.DeleteFunc(append(r.all[:0], set.all...), leaves)
		r.given = slices.DeleteFunc(append(r.given[:0], set.given...), leaves)
		return best, r.all, r.given, best != set.best || len(r.all) < len(set.all)
	}, func(p netip.Prefix, was, is *routeSet) {
		if is.best != was.best {
			r.scopes.Delete(p)
		}
		if len(is.given) < len(was.given) && len(is.given) < len(is.all) {
			r.review.Set(p, struct{}{})
		}
	})
}

// dropBest forgets which of GoBGP's best paths are n's.
func (r *rib) dropBest(n *neighbor) {
	if n.routes == 0 {
		return
	}
	r.rewrite(func(set *routeSet) (*neighbor, []*neighbor, []*neighbor, bool) {
		return nil, set.all, set.given, set.best == n
	}, func(p netip.Prefix, _, _ *routeSet) { r.scopes.Delete(p) })
	n.routes = 0
}

// dropHeld forgets what n's judge has handed on.
func (r *rib) dropHeld(n *neighbor) {
	if n.held == 0 {
		return
	}
	r.rewrite(func(set *routeSet) (*neighbor, []*neighbor, []*neighbor, bool) {
		all, given := r.without(&r.all, set.all, n), r.without(&r.given, set.given, n)
		return set.best, all, given, len(all) < len(set.all)
	}, func(p netip.Prefix, was, is *routeSet) {
		if len(is.given) < len(was.given) && len(is.given) < len(is.all) {
			r.review.Set(p, struct{}{})
		}
	})
	n.held = 0
}

// rewrite replaces the sets that change says, in one pass over the prefixes, and calls f
// with each prefix, the set that it had and the one that it gets.
func (r *rib) rewrite(change func(*routeSet) (best *neighbor, all, given []*neighbor, ok bool), f func(p netip.Prefix, was, is *routeSet)) {
	next := make(map[setID]setID)
	for id := 1; id < len(r.sets); id++ { // new ones need no look
		if r.sets[id].refs == 0 {
			continue
		}
		if best, all, given, ok := change(&r.sets[id]); ok {
			next[setID(id)] = r.intern(best, all, given)
		}
	}
	for p, id := range r.known.All() {
		to, ok := next[id]
		if !ok {
			continue
		}
		if to != 0 {
			r.sets[to].refs++
		}
		f(p, &r.sets[id], &r.sets[to])
		r.put(p, id, to)
		r.changed.Set(p, struct{}{})
	}
	for _, id := range next {
		r.release(id)
	}
}

// touch says that all routes of n may have changed.
func (r *rib) touch(n *neighbor) {
	if n.routes+n.held == 0 {
		return
	}
	for p, id := range r.known.All() {
		set := &r.sets[id]
		if _, has := slices.BinarySearchFunc(set.all, n, byNumber); has || set.best == n {
			r.changed.Set(p, struct{}{})
		}
	}
}
