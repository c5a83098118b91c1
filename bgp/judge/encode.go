package judge

import "encoding/binary"

// maxWorst bounds what a route's attributes may become when a speaker hands the
// route on to any of its peers, so that the UPDATE always fits into 4096 octets
// with one prefix in it. GoBGP (v4.8.0, packerV4.pack) panics if it does not.
// writeRoute counts, whatever the route has of it:
//
//   - AS_PATH with the own AS in front, in two octets for each AS, beside an
//     AS4_PATH of four (RFC 6793 section 4.2.2): 6 for each AS, 4 for each
//     segment, 8 for the headers,
//   - AGGREGATOR and AS4_AGGREGATOR: 20,
//   - MP_REACH_NLRI with two IPv6 next hops and one IPv6 prefix: 58,
//   - LOCAL_PREF: 7, ORIGINATOR_ID: 7 (RFC 4456 section 8),
//   - CLUSTER_LIST with one more: 8,
//   - the longer header, 4, for all others.
//
// The message has 23 octets without attributes. 64 more are for what policies
// add: ten times the own AS, or a community.
const (
	maxWorst = maxMessage - 23 - 64

	worstAS        = 6
	worstSegment   = 4
	worstPath      = 8 + worstAS + worstSegment
	worstReach     = 58
	worstReflected = 7 + 8
	worstLocalPref = 7
	worstHeader    = 4
)

// writeRoute writes the canonical attributes of a route without faults.
func (s *Session) writeRoute(a *attributes) {
	r := &s.update.route
	r.worst = worstPath + len(r.path.as)*worstAS + r.path.pieces()*worstSegment + worstReach + worstReflected + worstLocalPref
	if a.has(attrOrigin) {
		r.origin = r.append(r.origin, a, attrOrigin)
	}
	if a.has(attrASPath) {
		r.origin = s.appendPath(r.origin)
	}
	for _, typ := range [...]uint8{attrMED, attrLocalPref, attrAtomicAggregate} {
		if a.has(typ) {
			r.middle = r.append(r.middle, a, typ)
		}
	}
	if r.aggregator.is {
		r.worst += 20
		r.middle = s.appendAggregator(r.middle)
	}
	for _, typ := range [...]uint8{attrCommunities, attrOriginatorID, attrClusterList} {
		if a.has(typ) {
			r.middle = r.append(r.middle, a, typ)
		}
	}
	if a.has(attrExtCommunities) {
		s.appendExtended(a, attrExtCommunities, 8)
	}
	if s.asWidth() == 2 {
		s.appendAS4Path()
		s.appendAS4Aggregator()
	}
	if a.has(attrIPv6Communities) {
		s.appendExtended(a, attrIPv6Communities, 20)
	}
	for _, typ := range [...]uint8{attrLargeCommunity, attrOTC} {
		if a.has(typ) {
			r.tail = r.append(r.tail, a, typ)
		}
	}
}

// tooLong sets a fault if the route could not be handed on to every peer.
func (s *Session) tooLong(a *attributes) {
	if worst := s.update.route.worst; !a.fault.is() && worst > maxWorst {
		a.fail(0, subAttrList, "the attributes may need %d octets on the way to other peers, and no more than %d fit into a message (RFC 4271 section 4.1)", worst, maxWorst)
	}
}

// append appends an attribute as it came, with canonical flags, and counts it.
// Partial may be set in an optional transitive one, and has to stay (RFC 4271
// section 5).
func (r *route) append(dst []byte, a *attributes, typ uint8) []byte {
	v := a.value(typ)
	r.worst += worstHeader + len(v)
	return appendAttribute(dst, typ, a.list[typ].flags, v)
}

func appendAttribute(dst []byte, typ, flags uint8, v []byte) []byte {
	return append(appendAttributeHeader(dst, typ, flags, len(v)), v...)
}

func appendAttributeHeader(dst []byte, typ, flags uint8, n int) []byte {
	canonical := attrKinds[typ].flags
	if canonical == optionalTransitive {
		canonical |= flags & flagPartial
	}
	if n > 255 {
		return append(dst, canonical|flagExtended, typ, byte(n>>8), byte(n))
	}
	return append(dst, canonical, typ, byte(n))
}

// appendPath appends AS_PATH.
func (s *Session) appendPath(dst []byte) []byte {
	p, width := &s.update.route.path, s.asWidth()
	dst = appendAttributeHeader(dst, attrASPath, 0, len(p.as)*width+2*p.pieces())
	return p.appendTo(dst, width)
}

// appendAS4Path appends AS4_PATH if AS_PATH cannot say it all. It has the path
// from its first AS_SEQUENCE on: GoBGP (v4.8.0, UpdatePathAttrs4ByteAs) would
// make an empty segment of an AS_SET that is in both attributes before it, and
// other peers would take the route for malformed.
func (s *Session) appendAS4Path() {
	r := &s.update.route
	if p := r.path.tail(); wide(p.as) {
		r.tail = appendAttributeHeader(r.tail, attrAS4Path, 0, len(p.as)*4+2*p.pieces())
		r.tail = p.appendTo(r.tail, 4)
	}
}

// appendAggregator appends AGGREGATOR.
func (s *Session) appendAggregator(dst []byte) []byte {
	g := &s.update.route.aggregator
	var v []byte
	var buf [8]byte
	switch {
	case s.asWidth() == 4:
		v = binary.BigEndian.AppendUint32(buf[:0], g.as)
	case g.as < 1<<16:
		v = binary.BigEndian.AppendUint16(buf[:0], uint16(g.as))
	default:
		v = binary.BigEndian.AppendUint16(buf[:0], asTrans)
	}
	return appendAttribute(dst, attrAggregator, g.part, append(v, g.addr[:]...))
}

// appendAS4Aggregator appends AS4_AGGREGATOR if AGGREGATOR cannot say it all.
func (s *Session) appendAS4Aggregator() {
	r := &s.update.route
	if g := &r.aggregator; g.is && g.as >= 1<<16 {
		var buf [8]byte
		v := append(binary.BigEndian.AppendUint32(buf[:0], g.as), g.addr[:]...)
		r.tail = appendAttribute(r.tail, attrAS4Aggregator, g.part, v)
	}
}

// Types of extended communities that say something of EVPN (RFC 7153 section
// 4.1) and mobile user planes, and nothing of IPv4 or IPv6 prefixes. GoBGP takes
// those of subtypes that it does not know for malformed, and the routes with
// them.
const (
	extEVPN = 0x06
	extMUP  = 0x0c
)

// extNonTransitive is set in the type of an extended community that stays in
// its AS (RFC 4360 section 2, RFC 5701 section 2). From a peer in another AS it is a mistake
// there or an attempt to say something about this AS's own affairs, such as
// whether a route's origin is valid (RFC 8097 section 2). The exception of RFC 4360 section 6 is for
// confederations, and this router is in none.
const extNonTransitive = 0x40

// appendExtended appends one of the attributes with extended communities of the
// given size, but for those of no use and those that belong to another AS.
func (s *Session) appendExtended(a *attributes, typ uint8, size int) {
	r := &s.update.route
	useless, foreign := 0, 0
	kept := r.communities[:0]
	for v := a.value(typ); len(v) > 0; v = v[size:] {
		t := v[0] &^ extNonTransitive
		switch {
		case v[0]&extNonTransitive != 0 && !s.internal():
			foreign++
		case typ == attrExtCommunities && (t == extEVPN || t == extMUP):
			useless++
		default:
			kept = append(kept, v[:size]...)
		}
	}
	r.communities = kept
	if useless > 0 {
		s.noteDiscard(typ, "there is no use here for %d of them", useless)
	}
	if foreign > 0 {
		s.noteDiscard(typ, "%d of them must not leave the peer's AS (RFC 4360 section 6)", foreign)
	}
	if len(kept) > 0 {
		r.worst += worstHeader + len(kept)
		r.tail = appendAttribute(r.tail, typ, a.list[typ].flags, kept)
	}
}

// Forms of the attributes in an attrTable: how the next hop is given.
const (
	formNextHop = 0 // in NEXT_HOP, which is among the attributes
	formReach   = 1 // in MP_REACH_NLRI
)

// formReach has the next hop and the length of the attributes that go before
// MP_REACH_NLRI in front of the attributes.
const reachPrefix = 1 + 16 + 2

// classic returns the attributes of routes in the NLRI field.
func (r *route) classic(dst []byte, hop [4]byte) []byte {
	dst = append(dst, formNextHop)
	dst = append(dst, r.origin...)
	dst = appendAttribute(dst, attrNextHop, 0, hop[:])
	dst = append(dst, r.middle...)
	return append(dst, r.tail...)
}

// reach returns the attributes of routes in MP_REACH_NLRI.
func (r *route) reach(dst []byte, hop [16]byte) []byte {
	dst = append(dst, formReach)
	dst = append(dst, hop[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.origin)+len(r.middle)))
	dst = append(dst, r.origin...)
	dst = append(dst, r.middle...)
	return append(dst, r.tail...)
}
