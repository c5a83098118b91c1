package judge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Capabilities, RFC 5492 section 4 and the RFC of each.
const (
	capMultiprotocol    = 1  // RFC 4760 section 8
	capRefresh          = 2  // RFC 2918 section 2
	capNextHop          = 5  // RFC 8950 section 4
	capExtendedMessage  = 6  // RFC 8654 section 3
	capGracefulRestart  = 64 // RFC 4724 section 3
	capFourOctetAS      = 65 // RFC 6793 section 3
	capEnhancedRefresh  = 70 // RFC 7313 section 3.1
	paramCapability     = 2  // RFC 5492 section 4
	paramExtended       = 255
	openLen             = 10 // octets of an OPEN before the optional parameters
	asTrans             = 23456
	maxParameter        = 253 // a longer one begins the extended form, RFC 9072
	nextHopTupleLen     = 6
	gracefulTupleLen    = 4
	malformedCapability = "malformed capability of type %d and length %d (RFC 5492 section 4)"
)

// Open is what an OPEN message says.
type Open struct {
	ASN         uint32     // of the 4-octet AS capability if there is one
	RouterID    netip.Addr // the BGP identifier, an IPv4 address
	HoldTime    uint16     // seconds
	IPv4, IPv6  bool       // families; without any multiprotocol capability IPv4
	NextHopIPv6 bool       // IPv4 prefixes may have an IPv6 next hop (RFC 8950)
	FourOctetAS bool       // RFC 6793
	Refresh     bool       // RFC 2918

	enhancedRefresh bool
	multiprotocol   bool
	foreign         []byte // AFI, reserved and SAFI of the first family that is not ours
	graceful        []byte // the value of the graceful restart capability
}

// negotiated reports whether both ends have offered the family.
func (s *Session) negotiated(f int) bool {
	if f == IPv4 {
		return s.peer.IPv4 && s.ours.IPv4
	}
	return s.peer.IPv6 && s.ours.IPv6
}

// nextHopIPv6 reports whether IPv4 prefixes may have an IPv6 next hop.
func (s *Session) nextHopIPv6() bool { return s.peer.NextHopIPv6 && s.ours.NextHopIPv6 }

// asWidth is the number of octets of an AS number in AS_PATH and AGGREGATOR.
func (s *Session) asWidth() int {
	if s.peer.FourOctetAS && s.ours.FourOctetAS {
		return 4
	}
	return 2
}

// peerOpen reads the peer's OPEN and appends its canonical form: one parameter
// with the capabilities that matter here. What GoBGP refuses rightly is left to
// it, so that all such cases are told in one way: a wrong AS, an unacceptable
// hold time, an identifier of 0.0.0.0 or equal to this router's.
func (s *Session) peerOpen(dst, body []byte) []byte {
	o, n := readOpen(body, func(code uint8, length int) {
		s.noteDiscard(0, malformedCapability, int(code), length)
	})
	if n != nil {
		s.fail(n)
		return dst
	}
	s.peer = o
	s.state = openConfirm
	return appendOpen(dst, &o)
}

// PeekOpen reads the OPEN at the start of a peer's stream, for who has to know who the peer is before a Session is given the
// stream. whole is false as long as more has to come, of at most 4096 octets. A Notification says why the stream begins no
// session. That includes what peerOpen leaves to GoBGP, but for the AS number that is expected.
func PeekOpen(b []byte) (o Open, whole bool, n *Notification) {
	if len(b) < headerLen {
		return Open{}, false, nil
	}
	if n := checkHeader(b); n != nil {
		return Open{}, false, n
	}
	if typ := b[headerLen-1]; typ != typeOpen {
		return Open{}, false, (&Session{}).unexpected(typ)
	}
	size := messageLen(b)
	if len(b) < size {
		return Open{}, false, nil
	}
	o, n = readOpen(b[headerLen:size], func(uint8, int) {})
	switch {
	case n != nil:
		return Open{}, false, n
	case o.RouterID.IsUnspecified():
		return Open{}, false, &Notification{Code: errOpen, Subcode: 3, Text: "the peer's router ID is 0.0.0.0 (RFC 4271 section 6.2)"}
	case o.HoldTime == 1 || o.HoldTime == 2:
		return Open{}, false, &Notification{Code: errOpen, Subcode: 6, Text: "the peer's hold time is shorter than 3 s (RFC 4271 section 6.2)"}
	}
	return o, true, nil
}

// readOpen reads an OPEN's body, as parseOpen does, and refuses other versions of BGP and AS 0.
func readOpen(body []byte, odd func(code uint8, length int)) (Open, *Notification) {
	if body[0] != 4 { // RFC 4271 section 6.2; GoBGP leaves out the data
		return Open{}, &Notification{Code: errOpen, Subcode: 1, Data: []byte{0, 4}, Text: fmt.Sprintf("the peer speaks BGP version %d, not 4 (RFC 4271 section 6.2)", body[0])}
	}
	o, n := parseOpen(body, odd)
	if n == nil && (o.ASN == 0 || binary.BigEndian.Uint16(body[1:]) == 0) {
		n = &Notification{Code: errOpen, Subcode: 2, Text: "the peer says that it is in AS 0 (RFC 7607 section 2)"}
	}
	return o, n
}

// parseOpen reads an OPEN's body, which is at least openLen long. odd is told of
// capabilities that are malformed, which are left out (RFC 5492 section 5 ends
// sessions only for what is missing).
func parseOpen(body []byte, odd func(code uint8, length int)) (Open, *Notification) {
	o := Open{
		ASN:      uint32(binary.BigEndian.Uint16(body[1:])),
		HoldTime: binary.BigEndian.Uint16(body[3:]),
		RouterID: netip.AddrFrom4([4]byte(body[5:9])),
	}
	n := eachCapability(body, func(code uint8, value []byte, cut bool) {
		if cut || !o.take(code, value) {
			odd(code, len(value))
		}
	})
	if !o.multiprotocol {
		o.IPv4 = true // RFC 4760 section 8: what is not said is the base protocol
	}
	return o, n
}

// take takes one capability, and returns false if it is malformed. Of several
// of one kind the last counts, but for families, which add up.
func (o *Open) take(code uint8, v []byte) bool {
	switch code {
	case capMultiprotocol:
		if len(v) != 4 {
			return false
		}
		o.multiprotocol = true
		switch f, ok := familyOf(binary.BigEndian.Uint16(v), v[3]); {
		case !ok && o.foreign == nil:
			o.foreign = []byte{v[0], v[1], 0, v[3]}
		case ok && f == IPv4:
			o.IPv4 = true
		case ok:
			o.IPv6 = true
		}
	case capRefresh:
		o.Refresh = true
	case capEnhancedRefresh:
		o.enhancedRefresh = true
	case capNextHop:
		if len(v) == 0 || len(v)%nextHopTupleLen != 0 {
			return false
		}
		for ; len(v) > 0; v = v[nextHopTupleLen:] {
			if [nextHopTupleLen]byte(v) == [...]byte{0, afiIPv4, 0, safiUnicast, 0, afiIPv6} {
				o.NextHopIPv6 = true
			}
		}
	case capGracefulRestart:
		if len(v) < 2 || (len(v)-2)%gracefulTupleLen != 0 {
			return false
		}
		o.graceful = gracefulValue(v)
	case capFourOctetAS:
		if len(v) != 4 {
			return false
		}
		o.FourOctetAS, o.ASN = true, binary.BigEndian.Uint32(v)
	}
	return true
}

// gracefulValue keeps of a graceful restart capability the families that are
// known here, each once (RFC 4724 section 3).
func gracefulValue(v []byte) []byte {
	kept := append([]byte(nil), v[:2]...)
	var seen [2]bool
	for v = v[2:]; len(v) > 0; v = v[gracefulTupleLen:] {
		if f, ok := familyOf(binary.BigEndian.Uint16(v), v[2]); ok && !seen[f] {
			seen[f] = true
			kept = append(kept, v[:gracefulTupleLen]...)
		}
	}
	return kept
}

// appendOpen appends the canonical message of o.
func appendOpen(dst []byte, o *Open) []byte {
	var caps []byte
	add := func(has bool, code uint8, value ...byte) {
		if has {
			caps = append(append(caps, code, uint8(len(value))), value...)
		}
	}
	add(o.IPv4, capMultiprotocol, 0, afiIPv4, 0, safiUnicast)
	add(o.IPv6, capMultiprotocol, 0, afiIPv6, 0, safiUnicast)
	// With no such capability GoBGP would take the peer for one of IPv4.
	add(!o.IPv4 && !o.IPv6, capMultiprotocol, o.foreign...)
	add(o.Refresh, capRefresh)
	add(o.NextHopIPv6, capNextHop, 0, afiIPv4, 0, safiUnicast, 0, afiIPv6)
	add(o.graceful != nil, capGracefulRestart, o.graceful...)
	add(o.FourOctetAS, capFourOctetAS, binary.BigEndian.AppendUint32(nil, o.ASN)...)
	add(o.enhancedRefresh, capEnhancedRefresh)

	as := uint16(asTrans)
	if o.ASN < 1<<16 {
		as = uint16(o.ASN)
	}
	id := o.RouterID.As4()
	fixed := append([]byte{4, byte(as >> 8), byte(as), byte(o.HoldTime >> 8), byte(o.HoldTime)}, id[:]...)
	return appendOpenMessage(dst, fixed, caps)
}
