package engine

import (
	"net/netip"

	"warren/bgp"
	"warren/bgp/judge"
)

// announcedToLocked counts by family what n's export policy lets out to it, and what it lets out
// and is not sent, for it comes from n's own AS.
func (s *Speaker) announcedToLocked(n *neighbor) (announced [2]int, withheld int) {
	var sends [2]bool // by family
	for f, hop := range s.hopsLocked(n) {
		sends[f] = hop.ok
	}
	for p := range s.announced {
		if sends[familyOf(p)] && n.Export.Matches(p, true) {
			announced[familyOf(p)]++
		}
	}
	count := func(p netip.Prefix, id setID) {
		if !n.Export.Matches(p, false) { // asked first: all else costs more
			return
		}
		switch s.whyWithheldLocked(n, s.rib.learned(id), p, sends) {
		case bgp.Sent:
			announced[familyOf(p)]++
		case bgp.WithheldSameAS, bgp.WithheldInternal:
			withheld++
		}
	}
	if !n.Export.Any && len(n.Export.Prefixes) == 0 { // the usual case, without a walk through all routes
		for _, p := range defaultRoutes {
			count(p, s.rib.known.Get(p))
		}
		return announced, withheld
	}
	for p, id := range s.rib.known.All() {
		count(p, id)
	}
	return announced, withheld
}

// defaultRoutes are what Policy.Default is about.
var defaultRoutes = [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// whyWithheldLocked says why n is not sent the route to p, which is learned from a neighbor: nil is that
// there is none. sends says for each family whether there is a next hop.
func (s *Speaker) whyWithheldLocked(n, from *neighbor, p netip.Prefix, sends [2]bool) bgp.Withheld {
	switch {
	case from == nil:
		return bgp.WithheldNothing
	case from == n:
		return bgp.WithheldSource // never back
	case from.session.remoteID == n.session.remoteID:
		return bgp.WithheldRouterID
	}
	switch to := s.rib.scopes.Get(p); {
	case to == toNobody:
		return bgp.WithheldNoAdvertise
	case to == toInternal && n.ASN != s.cfg.ASN:
		return bgp.WithheldNoExport
	}
	_, own := s.announced[p]
	switch {
	case !sends[familyOf(p)]:
		return bgp.WithheldNextHop
	case own || s.rib.visible(p) == nil:
		return bgp.WithheldNothing
	case !n.Export.Matches(p, false):
		return bgp.WithheldExport
	}
	return s.sameAS(from, n)
}

// sameAS says why n is not sent what comes from a neighbor of its own AS: n
// would find its own number in the path, or is to hear it from that neighbor itself (RFC
// 4271 section 9.2.1, RFC 4456 section 6).
func (s *Speaker) sameAS(from, n *neighbor) bgp.Withheld {
	switch {
	case from.ASN != n.ASN:
		return bgp.Sent
	case n.ASN != s.cfg.ASN && !n.ASOverride:
		return bgp.WithheldSameAS
	case n.ASN == s.cfg.ASN && !from.RouteReflectorClient && !n.RouteReflectorClient:
		return bgp.WithheldInternal
	}
	return bgp.Sent
}

// maxLoopsLookedAt bounds how many of a neighbor's prefixes are looked at for each status.
const maxLoopsLookedAt = 1000

// countLoopsLocked counts those prefixes of n's that have been here before and that there
// is no other route to.
func (s *Speaker) countLoopsLocked(n *neighbor, to *Looped) {
	if n.session.conn == nil || to.Prefixes == 0 {
		return
	}
	for p, l := range n.session.conn.looped(maxLoopsLookedAt) {
		_, own := s.announced[p]
		if own || s.rib.visible(p) != nil {
			continue
		}
		if ok, _ := n.Import.Accepts(p, s.protected); !ok {
			continue
		}
		switch l {
		case judge.LoopAS:
			to.ByAS++
		case judge.LoopOriginator:
			to.ByOriginator++
		case judge.LoopCluster:
			to.ByCluster++
		}
	}
}

// looped returns at most limit of the prefixes that the peer announces and that have been
// here before.
func (c *peerConn) looped(limit int) map[netip.Prefix]judge.Loop {
	c.mu.Lock()
	defer c.mu.Unlock()
	some := make(map[netip.Prefix]judge.Loop)
	for p, l := range c.judge.EachLooped {
		if some[p] = l; len(some) >= limit {
			break
		}
	}
	return some
}

// clusterID is this router's in route reflection.
func (s *Speaker) clusterID(n *neighbor) netip.Addr {
	if n.ClusterID.IsValid() {
		return n.ClusterID
	}
	return s.cfg.RouterID
}
