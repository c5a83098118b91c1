package bgp

import (
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// A Route is the best of the routes to Prefix that neighbors announce. Its way
// out is the neighbor; the next hop that was received plays no part.
type Route struct {
	Prefix   netip.Prefix
	Neighbor string // the name of the neighbor it was learned from
}

// A rib mirrors GoBGP's best paths. Speaker.mu guards it.
type rib struct {
	best    map[netip.Prefix]*neighbor // learned ones only, also if not accepted
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
	if n == nil {
		if _, ok := r.best[p]; !ok {
			return // a local path, say
		}
		delete(r.best, p)
	} else {
		r.best[p] = n
	}
	r.changed[p] = struct{}{}
}

// drop forgets all routes of n.
func (r *rib) drop(n *neighbor) {
	for f := range n.ledgers {
		for p := range n.ledgers[f].entries {
			if r.best[p] == n {
				r.set(p, nil, toAll)
			}
		}
		n.ledgers[f] = newLedger()
	}
}

// visible returns the neighbor whose route to p is to be used, if any.
func (r *rib) visible(p netip.Prefix) *neighbor {
	if n := r.best[p]; n != nil && n.ledgers[familyOf(p)].accepts(p) {
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

// onBestPath is GoBGP's word that best paths changed, in the order in which
// they did.
func (s *Speaker) onBestPath(paths []*apiutil.Path, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
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

// onUpdate is GoBGP's word that an UPDATE came in, before any policy and
// before its best paths change.
func (s *Speaker) onUpdate(paths []*apiutil.Path, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range paths {
		p, ok := prefixOf(path)
		if !ok {
			continue
		}
		n := s.neighborAtLocked(path.PeerAddress, at)
		if n == nil {
			continue
		}
		l := &n.ledgers[familyOf(p)]
		if path.Withdrawal || looped(path, s.cfg.ASN) {
			l.withdraw(p)
		} else {
			l.announce(p, s.importsLocked(n, p), n.MaxPrefixes)
		}
		if l.needsWork(n.MaxPrefixes) {
			s.wakeEnforcer()
		}
	}
}

// looped reports whether a path has already been in this AS (RFC 4271 9.1.2).
func looped(path *apiutil.Path, asn uint32) bool {
	for _, attr := range path.Attrs {
		if asPath, ok := attr.(*gobgp.PathAttributeAsPath); ok {
			for _, segment := range asPath.Value {
				if slices.Contains(segment.GetAS(), asn) {
					return true
				}
			}
		}
	}
	return false
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

// importsLocked reports whether n's import policy lets p in.
func (s *Speaker) importsLocked(n *neighbor, p netip.Prefix) bool {
	ok, reason := n.Import.Accepts(p, s.protected)
	if reason.Protected() {
		s.logProtectedLocked(n, p, reason)
	}
	return ok
}

// prefixOf returns the prefix of a unicast path.
func prefixOf(path *apiutil.Path) (netip.Prefix, bool) {
	nlri, ok := path.Nlri.(*gobgp.IPAddrPrefix)
	if !ok {
		return netip.Prefix{}, false
	}
	return nlri.Prefix.Masked(), true
}
