package judge

import (
	"encoding/binary"
	"net/netip"
)

// An update is the UPDATE in work. Its slices are kept for the next one.
type update struct {
	attrs attributes
	route route

	withdrawn [2]field // by family: from Withdrawn Routes and MP_UNREACH_NLRI
	reach     field    // from MP_REACH_NLRI
	nlri      field    // from the NLRI field

	family    int      // of reach
	hop       [16]byte // the next hop of reach
	hop4      bool     // the next hop is IPv4, in the first octets of hop
	reachable bool     // there is a field for reachable NLRI with something in it
	endOfRIB  int      // the family that this is an End-of-RIB marker of, or -1

	announced map[prefix]struct{}
	blob      []byte
}

func (u *update) reset() {
	u.withdrawn[IPv4].reset()
	u.withdrawn[IPv6].reset()
	u.reach.reset()
	u.nlri.reset()
	u.hop4, u.reachable, u.endOfRIB = false, false, -1
}

// judgeUpdate judges the body of an UPDATE (RFC 4271 section 4.3).
func (s *Session) judgeUpdate(dst, body []byte) []byte {
	u := &s.update
	u.reset()
	defer func() { u.attrs.raw = nil }() // it is the caller's
	if n := s.readUpdate(body); n != nil {
		s.fail(n)
		return dst
	}
	a := &u.attrs
	if a.fault.is() && !u.reachable {
		// RFC 7606 section 5.2: there are attributes but no routes that they are of,
		// so that it is not sure that all NLRI were found.
		s.fail(a.notification(&a.fault))
		return dst
	}
	if u.endOfRIB >= 0 {
		if s.ended[u.endOfRIB] {
			return dst // it says nothing: there are no stale routes since the first one
		}
		dst = s.endOfRIB(dst, u.endOfRIB)
		if s.cfg.Choose {
			s.markers[u.endOfRIB] = true
			return dst
		}
		return appendEndOfRIB(dst, u.endOfRIB)
	}
	s.countRepairs()
	s.withdraw()
	// What is let in has to be written before its attributes can be replaced.
	dst = s.flush(dst)
	return s.announceAll(dst)
}

// readUpdate takes the UPDATE apart. The NOTIFICATION is for what makes the
// NLRI unreliable.
func (s *Session) readUpdate(body []byte) *Notification {
	u := &s.update
	routes, rest, ok := cut(body)
	var raw, nlri []byte
	if ok {
		raw, nlri, ok = cut(rest)
	}
	if !ok { // RFC 4271 section 6.3
		return &Notification{Code: errUpdate, Subcode: subAttrList, Text: "the peer sent an UPDATE whose fields do not fit into it (RFC 4271 section 6.3)"}
	}
	u.reachable = len(nlri) > 0
	if n := s.readClassic(&u.withdrawn[IPv4], routes, "Withdrawn Routes"); n != nil {
		return n
	}
	if n := s.readClassic(&u.nlri, nlri, "NLRI"); n != nil {
		return n
	}
	if n := s.parseAttributes(&u.attrs, raw); n != nil {
		return n
	}
	if len(body) == 4 && s.negotiated(IPv4) { // RFC 4724 section 2
		u.endOfRIB = IPv4
	}
	return s.readAttributes(len(routes)+len(nlri) == 0)
}

// cut takes a field off that has its length in two octets in front.
func cut(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b)-2 < n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// readClassic reads one of the two fields for IPv4 prefixes.
func (s *Session) readClassic(f *field, b []byte, name string) *Notification {
	switch {
	case len(b) == 0:
	case !s.negotiated(IPv4):
		s.noteDiscard(0, "IPv4 prefixes, which are not negotiated (RFC 4760 section 8)")
	default:
		if why := f.parse(b, IPv4); why != "" {
			// RFC 7606 section 5.3, with section 3 (j): the session ends.
			return syntaxError(subNetwork, name+" "+why, f, b)
		}
	}
	return nil
}

// syntaxError is the NOTIFICATION for an NLRI field that cannot be read.
func syntaxError(subcode uint8, why string, f *field, b []byte) *Notification {
	at := 0
	for _, p := range f.prefixes {
		at += p.size()
	}
	text := explain(why, [2]int{int(b[at])})
	return &Notification{Code: errUpdate, Subcode: subcode, Data: append([]byte(nil), b[at:]...), Text: "the peer sent a malformed UPDATE: " + text + " (RFC 7606 section 5.3)"}
}

// readAttributes reads the NLRI in attributes and checks the attributes. alone
// says that both classic fields are empty.
func (s *Session) readAttributes(alone bool) *Notification {
	u := &s.update
	a := &u.attrs
	if a.has(attrMPUnreach) {
		only := alone && !a.fault.is() && a.seen == [4]uint64{1 << attrMPUnreach}
		if n := s.readUnreach(a, only); n != nil {
			return n
		}
	}
	if a.has(attrMPReach) {
		if n := s.readReach(a); n != nil {
			return n
		}
	}
	classic := len(u.nlri.prefixes) > 0
	if a.usable&^(1<<attrMPUnreach) != 0 {
		s.check(a, classic)
	}
	if classic || len(u.reach.prefixes) > 0 {
		a.missing(classic)
		s.looped(a)
		s.tooLong(a)
	}
	return nil
}

// readUnreach reads MP_UNREACH_NLRI (RFC 4760 section 4). only says that there
// is nothing else in the UPDATE.
func (s *Session) readUnreach(a *attributes, only bool) *Notification {
	u, v := &s.update, a.value(attrMPUnreach)
	if len(v) < 3 {
		return a.notification(&fault{attr: attrMPUnreach, subcode: subOptional, why: "has length %d (RFC 7606 section 5.3)", args: [2]int{len(v)}})
	}
	afi, safi := binary.BigEndian.Uint16(v), v[2]
	f, ok := familyOf(afi, safi)
	if !ok || !s.negotiated(f) {
		s.noteDiscard(attrMPUnreach, "AFI %d SAFI %d is not negotiated (RFC 4760 section 8)", int(afi), int(safi))
		return nil
	}
	if only && len(v) == 3 {
		u.endOfRIB = f // RFC 4724 section 2
	}
	if u.withdrawn[f].parse(v[3:], f) != "" {
		return a.notification(&fault{attr: attrMPUnreach, subcode: subOptional, why: cutOff})
	}
	return nil
}

const cutOff = "has an incorrect prefix (RFC 7606 section 5.3)"

// readReach reads MP_REACH_NLRI (RFC 4760 section 3).
func (s *Session) readReach(a *attributes) *Notification {
	u, v := &s.update, a.value(attrMPReach)
	malformed := func(why string, args ...int) *Notification {
		f := fault{attr: attrMPReach, subcode: subOptional, why: why}
		copy(f.args[:], args)
		return a.notification(&f)
	}
	if len(v) < 5 {
		return malformed("has length %d (RFC 7606 section 5.3)", len(v))
	}
	afi, safi, n := binary.BigEndian.Uint16(v), v[2], int(v[3])
	f, ok := familyOf(afi, safi)
	if !ok || !s.negotiated(f) {
		u.reachable = true
		s.noteDiscard(attrMPReach, "AFI %d SAFI %d is not negotiated (RFC 4760 section 8)", int(afi), int(safi))
		return nil
	}
	if len(v) < 4+n+1 {
		return malformed("has a next hop of length %d, longer than itself (RFC 7606 section 7.11)", n)
	}
	hop, nlri := v[4:4+n], v[4+n+1:] // one octet between them is reserved, and ignored
	switch n {
	case 4, 16, 32:
		u.family = f
		s.readHop(a, f, hop)
	case 12, 24, 48:
		// These are lengths of other families (RFC 4364, RFC 4659), so that the NLRI
		// are surely behind them.
		a.fail(attrMPReach, subOptional, "has a next hop of length %d (RFC 7606 section 7.11)", n)
		u.family = f
	default:
		return malformed("has a next hop of length %d (RFC 7606 section 7.11)", n)
	}
	if u.reach.parse(nlri, f) != "" {
		return malformed(cutOff)
	}
	u.reachable = u.reachable || len(nlri) > 0
	return nil
}

// readHop takes a next hop of 4, 16 or 32 octets. Of a global and a link-local
// one (RFC 2545 section 3) the global one is kept, unless there is none, or none that
// can be a gateway.
func (s *Session) readHop(a *attributes, f int, hop []byte) {
	u := &s.update
	const length = "has a next hop of length %d (RFC 7606 section 7.11)"
	u.hop = [16]byte{}
	u.hop4 = len(hop) == 4
	copy(u.hop[:], hop)
	addr := netip.AddrFrom16(u.hop)
	switch {
	case u.hop4 && f == IPv6:
		a.fail(attrMPReach, subOptional, length, 4)
		return
	case u.hop4:
		addr = netip.AddrFrom4([4]byte(hop))
	case f == IPv4 && !s.nextHopIPv6():
		a.fail(attrMPReach, subOptional, "has an IPv6 next hop for IPv4, which is not negotiated (RFC 8950 section 4)")
		return
	case len(hop) == 32 && (addr.IsUnspecified() || s.cfg.OnLink != nil && addr.Is4In6()):
		copy(u.hop[:], hop[16:])
		addr = netip.AddrFrom16(u.hop)
	}
	if why := s.badNextHop(addr); why != "" {
		a.fail(attrMPReach, subOptional, "has a next hop that "+why)
	}
}
