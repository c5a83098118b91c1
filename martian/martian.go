// Package martian knows the prefixes that can never be routed. It depends on
// nothing, so that every package may ask it.
package martian

import "net/netip"

// all are this-network, loopback, link-local, multicast and reserved addresses
// (RFC 6890), the dummy address that tunnels without an IPv4 address have (RFC
// 7600, section 4.8), and the IPv6 low block that holds unspecified, loopback and
// the IPv4-mapped and -compatible forms. Private, shared and documentation ranges
// are ordinary prefixes, and so are those of NAT64 (64:ff9b::/96, RFC 6052; 64:ff9b:1::/48,
// RFC 8215), which a site with a translator announces to others.
var all = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("192.0.0.8/32"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/16"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// Prefixes returns all martians. The slice is the caller's.
func Prefixes() []netip.Prefix { return append([]netip.Prefix(nil), all...) }

// Is reports whether p is one of the martians or inside one. The default
// routes are not martians, nor is any prefix that merely covers one.
func Is(p netip.Prefix) bool {
	_, ok := Covering(p)
	return ok
}

// Covering returns the martian that p is, or is inside of, if any.
func Covering(p netip.Prefix) (m netip.Prefix, ok bool) {
	for _, m := range all {
		if p.Bits() >= m.Bits() && m.Contains(p.Addr()) {
			return m, true
		}
	}
	return netip.Prefix{}, false
}
