package engine

import (
	"net/netip"

	"warren/bgp/judge"
)

// A prefix goes out with this end's address of the session as its next hop.
// Where the prefix is of the other family than the session, that is possible
// in one direction only: IPv4 prefixes may have an IPv6 next hop if the peer
// has said that it takes them (RFC 8950 section 4), but IPv6 prefixes need an
// IPv6 next hop (RFC 2545 section 3). GoBGP minds neither: it sends the former
// to everybody, and the latter with an IPv4-mapped next hop, which other
// implementations refuse. So this end's address of the other family is chosen
// when the neighbor is added, and sent where the session's will not do; and
// IPv4 prefixes are held back from a peer over IPv6 until it has said what it
// takes, which its OPEN says.

// nextHop is the next hop that is sent to n with prefixes of family f: an
// invalid address for this end's of the session, and false if there is none
// that n may be sent. Speaker.mu is held.
func (n *neighbor) nextHop(f family) (hop netip.Addr, ok bool) {
	of := ipv6
	if n.LocalAddr.Is4() {
		of = ipv4
	}
	switch {
	case f == of, f == ipv4 && n.session.extended:
		return netip.Addr{}, true
	case f == ipv4 && !n.session.known:
		return netip.Addr{}, false
	default:
		return n.otherHop, n.otherHop.IsValid()
	}
}

// withheldLocked reports whether there are IPv4 prefixes for n that it cannot
// be sent.
func (s *Speaker) withheldLocked(n *neighbor) bool {
	if _, ok := n.nextHop(ipv4); ok || !n.session.ipv4 {
		return false
	}
	for p := range s.announced {
		if p.Addr().Is4() && n.Export.Matches(p, true) {
			return true
		}
	}
	return false
}

// otherNextHop is the next hop for prefixes of the other family than the
// session's local address, or invalid.
//
// For IPv6 it is an address of the interface: a global one that the peer may
// have a subnet in common with, or else the link-local one. Without either it
// is a link-local address with the router ID inside (of the form of RFC 5214
// section 6.1): nobody has to own it, since the far end of a point-to-point
// interface needs a next hop of the right form, not a neighbor that answers.
// For IPv4 there is no such thing, and it is the interface's address or none. Nor is
// there on a lan, where a next hop is asked for who it is.
func otherNextHop(addrs []netip.Prefix, local, routerID netip.Addr, lan bool) netip.Addr {
	if local.Is6() {
		for _, p := range addrs {
			if p.Addr().Is4() {
				return p.Addr()
			}
		}
		return netip.Addr{}
	}
	for _, p := range addrs {
		if a := p.Addr(); a.Is6() && a.IsGlobalUnicast() && p.Bits() < a.BitLen() {
			return a
		}
	}
	for _, p := range addrs {
		if a := p.Addr(); a.Is6() && a.IsLinkLocalUnicast() {
			return a
		}
	}
	if lan {
		return netip.Addr{}
	}
	a, id := [16]byte{0xfe, 0x80, 10: 0x5e, 11: 0xfe}, routerID.As4()
	copy(a[12:], id[:])
	return netip.AddrFrom16(a)
}

// setOpen takes what the peer can do from its OPEN. Speaker.mu is held.
func (n *neighbor) setOpen(o judge.Open) {
	ss := &n.session
	ss.seen = openSeen{asn: o.ASN, id: o.RouterID}
	ss.known, ss.ipv4, ss.ipv6, ss.extended = true, o.IPv4, o.IPv6, o.NextHopIPv6
	ss.graceful = o.Graceful().Offered
}
