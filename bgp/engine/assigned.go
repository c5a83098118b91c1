package engine

import (
	"net/netip"
	"slices"

	"warren/bgp/judge"
)

// holderLocked is the first by name of the neighbors that an own prefix is assigned to and that have a session; nil: there is none.
func (s *Speaker) holderLocked(p netip.Prefix) (holder *neighbor) {
	for _, name := range s.wanted.assigned[p] {
		if n := s.neighbors[name]; n != nil && n.session.state == stateEstablished && n.session.remoteID.IsValid() && (holder == nil || n.Name < holder.Name) {
			holder = n
		}
	}
	return holder
}

// routeOriginLocked is the router ID of whoever an own prefix is assigned to; not valid: nobody, or it is not known.
func (s *Speaker) routeOriginLocked(p netip.Prefix) netip.Addr {
	if holder := s.holderLocked(p); holder != nil {
		return holder.session.remoteID
	}
	return netip.Addr{}
}

// countRivalsLocked looks for prefixes that n announces for other routers than those that they are assigned to here. A hub
// that has assigned one to the same router announces it as this one does, with the same route origin; of one that says no
// origin it is not known.
func (s *Speaker) countRivalsLocked(n *neighbor, to *NeighborStatus) {
	// What is protected is refused, and who is assigned something assigns nothing.
	if n.session.conn == nil || to.Received <= to.Accepted || s.wanted.holders[n.Name] {
		return
	}
	for p, names := range s.wanted.assigned {
		holder := s.holderLocked(p)
		if holder == nil || slices.Contains(names, n.Name) {
			continue
		}
		is := n.session.conn.look(p)
		if is.Seen != judge.SeenFiltered || !is.RouteOrigin.IsValid() || is.RouteOrigin == holder.session.remoteID {
			continue
		}
		r := &to.Rival
		if r.Prefixes++; r.Prefixes == 1 || p.Compare(r.First) < 0 {
			r.First, r.Holder, r.RouterID = p, holder.Name, is.RouteOrigin
		}
	}
}
