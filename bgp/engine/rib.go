package engine

import (
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// A rib mirrors GoBGP's best paths. Speaker.mu guards it.
type rib struct {
	best    map[netip.Prefix]*neighbor // learned ones only
	changed map[netip.Prefix]struct{}  // since TakeChanges
	scopes  map[netip.Prefix]scope     // of the best ones that may not be sent to all
}

func newRIB() rib {
	return rib{best: make(map[netip.Prefix]*neighbor), changed: make(map[netip.Prefix]struct{}), scopes: make(map[netip.Prefix]scope)}
}

// set records that p's best path now comes from n, or from none if n is nil,
// and to whom it may be sent.
func (r *rib) set(p netip.Prefix, n *neighbor, to scope) {
	if n != nil && to != toAll {
		r.scopes[p] = to
	} else {
		delete(r.scopes, p)
	}
	was := r.best[p]
	switch {
	case n == nil && was == nil:
		return // a local path, say
	case n == nil:
		delete(r.best, p)
	default:
		r.best[p] = n
		n.routes++
	}
	if was != nil {
		was.routes--
	}
	r.changed[p] = struct{}{}
}

// drop forgets all routes of n.
func (r *rib) drop(n *neighbor) {
	if n.routes == 0 {
		return
	}
	for p, from := range r.best {
		if from == n {
			r.set(p, nil, toAll)
		}
	}
}

// touch says that the routes of n may have changed for which affected is true;
// nil means all.
func (r *rib) touch(n *neighbor, affected func(netip.Prefix) bool) {
	if n.routes == 0 {
		return
	}
	for p, from := range r.best {
		if from == n && (affected == nil || affected(p)) {
			r.changed[p] = struct{}{}
		}
	}
}

// visible returns the neighbor whose route to p is to be used, if any: GoBGP
// may be slow to take back what the peer, or its limit, has taken back.
func (r *rib) visible(p netip.Prefix) *neighbor {
	if n := r.best[p]; n != nil && n.session.conn != nil && n.session.conn.accepts(p) {
		return n
	}
	return nil
}

// Routes returns all best routes learned from neighbors. The map is the
// caller's. With many routes, TakeChanges is much cheaper.
func (s *Speaker) Routes() map[netip.Prefix]Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	routes := make(map[netip.Prefix]Route, len(s.rib.best))
	for p := range s.rib.best {
		if n := s.rib.visible(p); n != nil {
			routes[p] = Route{Prefix: p, Neighbor: n.Name}
		}
	}
	return routes
}

// TakeChanges returns what became of every prefix that may have changed since
// the last call: its route, or a Route with an empty Neighbor if there is none
// any more. It is for a single consumer, who applies it to a copy of its own;
// a prefix may be returned without having changed.
func (s *Speaker) TakeChanges() map[netip.Prefix]Route {
	s.mu.Lock()
	changed := s.rib.changed
	s.rib.changed = make(map[netip.Prefix]struct{})
	routes := make(map[netip.Prefix]Route, len(changed))
	for p := range changed {
		r := Route{Prefix: p}
		if n := s.rib.visible(p); n != nil {
			r.Neighbor = n.Name
		}
		routes[p] = r
	}
	s.mu.Unlock()
	return routes
}

// EachChange calls f with what TakeChanges would return, for most prefixes at most, and
// reports whether there are more. neighbor is empty where there is no route. f must not
// call the speaker.
func (s *Speaker) EachChange(most int, f func(p netip.Prefix, neighbor string)) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.rib.changed {
		if most--; most < 0 {
			return true
		}
		name := ""
		if n := s.rib.visible(p); n != nil {
			name = n.Name
		}
		f(p, name)
		delete(s.rib.changed, p)
	}
	s.rib.changed = make(map[netip.Prefix]struct{}) // gives back what many took
	return false
}

// Repeat has all routes of a neighbor count as changed.
func (s *Speaker) Repeat(neighbor string) {
	s.mu.Lock()
	if n := s.neighbors[neighbor]; n != nil {
		s.rib.touch(n, nil)
	}
	s.mu.Unlock()
	s.notify()
}

// onBestPath is GoBGP's word that best paths changed, in the order in which
// they did.
func (s *Speaker) onBestPath(paths []*apiutil.Path, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.confirming) > 0 {
		s.lookForMissedLocked(paths, at)
	}
	for _, path := range paths {
		p, ok := prefixOf(path)
		if !ok {
			continue
		}
		var n *neighbor
		if !path.Withdrawal && path.PeerAddress.IsValid() {
			n = s.neighborAtLocked(path.PeerAddress, at)
		}
		s.rib.set(p, n, scopeOf(path))
	}
	s.notify()
}

// neighborAtLocked finds the neighbor that an event at the given time is
// about; not one that was added only later with the same address.
func (s *Speaker) neighborAtLocked(addr netip.Addr, at time.Time) *neighbor {
	n := s.byAddr[addr.Unmap().WithZone("")]
	if n == nil || at.Before(n.added) {
		return nil
	}
	return n
}

// prefixOf returns the prefix of a unicast path.
func prefixOf(path *apiutil.Path) (netip.Prefix, bool) {
	nlri, ok := path.Nlri.(*gobgp.IPAddrPrefix)
	if !ok {
		return netip.Prefix{}, false
	}
	return nlri.Prefix.Masked(), true
}
