package judge

import (
	"encoding/binary"
	"net/netip"
)

// A route is what an UPDATE's attributes say of the routes in it, but for the
// next hop of MP_REACH_NLRI: canonical attributes in order of type, in two
// parts, between which NEXT_HOP goes, and a third, before which MP_REACH_NLRI
// goes.
type route struct {
	origin  []byte // ORIGIN, AS_PATH
	middle  []byte // MULTI_EXIT_DISC to CLUSTER_LIST
	tail    []byte // from EXTENDED COMMUNITIES on
	nextHop [4]byte
	worst   int // octets of the attributes at most when another peer gets them

	path, four, merged asPath
	communities        []byte
	aggregator         aggregator
}

// An aggregator is what AGGREGATOR and AS4_AGGREGATOR say together.
type aggregator struct {
	is   bool
	as   uint32
	addr [4]byte
	part uint8 // flagPartial if it was set
}

// check looks into the attributes and sets s.update.route from them. It discards
// what is to be discarded, and notes the first fault in the attributes. classic
// says that there are prefixes in the NLRI field.
func (s *Session) check(a *attributes, classic bool) {
	r := &s.update.route
	r.origin, r.middle, r.tail, r.worst = r.origin[:0], r.middle[:0], r.tail[:0], 0
	s.checkFixed(a)
	s.checkSets(a)
	s.checkNextHop(a, classic)
	s.checkAggregator(a)
	s.checkPath(a)
	if !a.fault.is() {
		s.writeRoute(a)
	}
}

// checkFixed checks attributes that have one length.
func (s *Session) checkFixed(a *attributes) {
	if a.has(attrOrigin) { // RFC 7606 section 7.1
		switch v := a.value(attrOrigin); {
		case len(v) != 1:
			a.fail(attrOrigin, subLength, "has length %d (RFC 7606 section 7.1)", len(v))
		case v[0] > 2:
			a.fail(attrOrigin, subOrigin, "is %d (RFC 7606 section 7.1)", int(v[0]))
		}
	}
	a.length(attrMED, 4, "has length %d (RFC 7606 section 7.4)")
	a.length(attrLocalPref, 4, "has length %d (RFC 7606 section 7.5)")
	a.length(attrOriginatorID, 4, "has length %d (RFC 7606 section 7.9)")
	a.length(attrOTC, 4, "has length %d (RFC 9234 section 5)")
	if a.has(attrOTC) && !a.fault.is() && binary.BigEndian.Uint32(a.value(attrOTC)) == 0 {
		a.fail(attrOTC, subOptional, "is AS 0 (RFC 7607 section 2)")
	}
	if a.has(attrAtomicAggregate) && len(a.value(attrAtomicAggregate)) != 0 {
		s.discard(a, attrAtomicAggregate, "it has length %d (RFC 7606 section 7.6)", len(a.value(attrAtomicAggregate)))
	}
}

// length checks for a fixed length.
func (a *attributes) length(typ uint8, n int, why string) {
	if a.has(typ) && len(a.value(typ)) != n {
		a.fail(typ, subLength, why, len(a.value(typ)))
	}
}

// checkSets checks attributes that are lists, of one item or more.
func (s *Session) checkSets(a *attributes) {
	a.multiple(attrCommunities, 4, "has length %d (RFC 7606 section 7.8)")
	a.multiple(attrClusterList, 4, "has length %d (RFC 7606 section 7.10)")
	a.multiple(attrExtCommunities, 8, "has length %d (RFC 7606 section 7.14)")
	a.multiple(attrIPv6Communities, 20, "has length %d (RFC 7606 section 7.15)")
	a.multiple(attrLargeCommunity, 12, "has length %d (RFC 8092 section 5)")
}

// multiple checks for a length that is a multiple of n and not 0.
func (a *attributes) multiple(typ uint8, n int, why string) {
	if a.has(typ) && (len(a.value(typ)) == 0 || len(a.value(typ))%n != 0) {
		a.fail(typ, subLength, why, len(a.value(typ)))
	}
}

// discard takes out an attribute that is malformed.
func (s *Session) discard(a *attributes, typ uint8, why string, args ...int) {
	s.noteDiscard(typ, why, args...)
	a.drop(typ)
	a.fixed = true
}

// checkNextHop checks NEXT_HOP. It is ignored, whatever it says, where there are
// no prefixes in the NLRI field (RFC 4760 section 3).
func (s *Session) checkNextHop(a *attributes, classic bool) {
	if !a.has(attrNextHop) {
		return
	}
	if !classic {
		if a.has(attrMPReach) {
			a.fix(attrNextHop, "ignored beside MP_REACH_NLRI (RFC 4760 section 3)")
		}
		a.drop(attrNextHop)
		return
	}
	v := a.value(attrNextHop)
	if len(v) != 4 {
		a.fail(attrNextHop, subLength, "has length %d (RFC 7606 section 7.3)", len(v))
		return
	}
	copy(s.update.route.nextHop[:], v)
	if why := s.badNextHop(netip.AddrFrom4([4]byte(v))); why != "" {
		a.fail(attrNextHop, subNextHop, why)
	}
}

// badNextHop says why an address is no next hop, or "" (RFC 4271 section 6.3: a
// route with a next hop that is semantically incorrect is ignored).
func (s *Session) badNextHop(hop netip.Addr) string {
	mapped := hop.Is4In6()
	hop = hop.Unmap()
	switch {
	case hop.IsLoopback():
		if !s.cfg.AllowLoopback {
			return "is a loopback address (RFC 4271 section 6.3)"
		}
	case hop.Is4() && hop.As4()[0] == 0, hop.IsUnspecified():
		return "is no address of a host (RFC 4271 section 6.3)"
	case hop.IsMulticast(), hop.Is4() && hop.As4()[0] >= 240:
		return "is no unicast address (RFC 4271 section 6.3)"
	}
	switch {
	case s.cfg.OnLink == nil:
	case mapped:
		return "is an IPv4-mapped address, which is no gateway: announce an IPv6 address of the network"
	case !s.cfg.OnLink(hop):
		return "is not on the network of the session (RFC 4271 section 6.3)"
	}
	return ""
}

// checkAggregator sets the route's aggregator. AGGREGATOR and AS4_AGGREGATOR are
// discarded when malformed (RFC 7606 section 7.7, RFC 7607 section 2, RFC 6793
// section 6).
func (s *Session) checkAggregator(a *attributes) {
	g := &s.update.route.aggregator
	*g = aggregator{}
	if a.has(attrAggregator) {
		v := a.value(attrAggregator)
		if len(v) != s.asWidth()+4 {
			s.discard(a, attrAggregator, "it has length %d (RFC 7606 section 7.7)", len(v))
		} else if g.read(v, a.list[attrAggregator].flags); g.as == 0 {
			s.discard(a, attrAggregator, "it has AS 0 (RFC 7607 section 2)")
			g.is = false
		}
	}
	if !a.has(attrAS4Aggregator) {
		return
	}
	var four aggregator
	switch v := a.value(attrAS4Aggregator); {
	case len(v) != 8:
		s.discard(a, attrAS4Aggregator, "it has length %d (RFC 6793 section 6)", len(v))
	case !g.is:
		s.discard(a, attrAS4Aggregator, "there is no AGGREGATOR (RFC 6793 section 6)")
	case g.as != asTrans:
		// AGGREGATOR is younger: it and AS_PATH stand alone (RFC 6793 section 4.2.3).
		a.drop(attrAS4Aggregator)
		a.drop(attrAS4Path)
	default:
		if four.read(v, a.list[attrAggregator].flags); four.as == 0 {
			s.discard(a, attrAS4Aggregator, "it has AS 0 (RFC 7607 section 2)")
			return
		}
		*g = four
	}
}

// read takes an AS number of the length that is left and an address.
func (g *aggregator) read(v []byte, flags uint8) {
	g.is, g.part = true, flags&flagPartial
	if len(v) == 8 {
		g.as = binary.BigEndian.Uint32(v)
	} else {
		g.as = uint32(binary.BigEndian.Uint16(v))
	}
	g.addr = [4]byte(v[len(v)-4:])
}

// checkPath sets the route's path from AS_PATH and AS4_PATH.
func (s *Session) checkPath(a *attributes) {
	r := &s.update.route
	if !a.has(attrASPath) {
		r.path.reset()
		return
	}
	if why := r.path.parse(a.value(attrASPath), s.asWidth(), false); why != "" {
		a.fail(attrASPath, subASPath, why)
		return
	}
	if len(r.path.as) == 0 && s.cfg.LocalASN != s.cfg.PeerASN {
		a.fail(attrASPath, subASPath, "is empty, from another AS (RFC 4271 section 5.1.2)")
		return
	}
	if !a.has(attrAS4Path) {
		return
	}
	v := a.value(attrAS4Path)
	why := r.four.parse(v, 4, true)
	if len(v) < 6 {
		why = "is too short (RFC 6793 section 6)"
	}
	if why != "" {
		s.discard(a, attrAS4Path, "it "+why)
		return
	}
	if r.merged.merge(&r.path, &r.four) {
		r.path, r.merged = r.merged, r.path
	}
}

// missing sets a fault if a mandatory attribute is not there (RFC 7606 section
// 3 (d)). It is asked only where there are routes.
func (a *attributes) missing(classic bool) {
	for _, typ := range [...]uint8{attrOrigin, attrASPath, attrNextHop} {
		if !a.has(typ) && (typ != attrNextHop || classic) {
			a.fail(typ, 3, "is missing (RFC 7606 section 3)")
		}
	}
}
