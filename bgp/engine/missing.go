package engine

import "time"

// missing says which prefixes cannot come from a peer, though import has filters for
// them; "" if none are missing. The words `any` and `default` say nothing of a family.
// There is a session; Speaker.mu is held.
func (n *neighbor) missing(now time.Time) string {
	if !n.session.known {
		return ""
	}
	for _, f := range families4and6 {
		offered, name, where := n.session.ipv4, "IPv4", "ipv4"
		if f == ipv6 {
			offered, name, where = n.session.ipv6, "IPv6", "ipv6"
		}
		if !offered && n.importsSome(f) {
			return name + " prefixes cannot come: the peer does not offer the family, and import has filters for it; turn it on there (BIRD: a channel " + where +
				", FRR: address-family " + where + " unicast with neighbor … activate), or take the filters out"
		}
	}
	// It may have an IPv4 next hop of its own, so that what it sends decides.
	if _, ok := n.nextHop(ipv4); !ok && n.importsSome(ipv4) && n.received(ipv4) == 0 && now.Sub(n.session.since) > quietAfter {
		return "no IPv4 prefixes come: the peer sends none with an IPv6 next hop (RFC 8950); allow it there (BIRD: extended next hop, FRR: capability extended-nexthop), or give both ends of the tunnel IPv4 addresses"
	}
	return ""
}

// importsSome reports whether a filter of import is about a family.
func (n *neighbor) importsSome(f family) bool {
	for _, filter := range n.Import.Prefixes {
		if filter.Prefix.Addr().Is4() == (f == ipv4) {
			return true
		}
	}
	return false
}

// received is how many prefixes of a family the peer announces.
func (n *neighbor) received(f family) int {
	if n.session.conn == nil {
		return 0
	}
	return n.session.conn.counts().Families[f].Received
}
