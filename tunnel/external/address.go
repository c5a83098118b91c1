package external

import (
	"fmt"
	"net/netip"
)

// localAddress finds this end's address of the session with peer among the
// addresses of the interface name: the one in the longest subnet that contains
// peer, or else, as the addresses of a point-to-point interface are often all
// by themselves (10.8.0.1/32 towards 10.8.0.2), the only one of peer's kind.
// Link-local IPv6 addresses are a kind of their own.
//
// If there is none, or more than one, problem says what to do. To guess would
// be wrong: the peer's BGP knows one address and answers no other, and a TUN
// has a link-local address of the kernel's making beside its owner's.
func localAddress(name string, have []netip.Prefix, peer netip.Addr) (local netip.Addr, problem string) {
	var kin, near []netip.Addr // of peer's kind; those of them in the longest subnet
	longest := -1
	for _, p := range have {
		a := p.Addr()
		if a == peer {
			return local, fmt.Sprintf("peer_address %s is this router's own address on %s: it must be the peer's", peer, name)
		}
		if a.Is4() != peer.Is4() || isLinkLocal6(a) != isLinkLocal6(peer) {
			continue
		}
		kin = append(kin, a)
		if !p.Contains(peer) || p.Bits() < longest {
			continue
		}
		if p.Bits() > longest {
			longest, near = p.Bits(), nil
		}
		near = append(near, a)
	}
	if near == nil {
		near = kin
	}
	switch len(near) {
	case 1:
		return near[0], ""
	case 0:
		return local, fmt.Sprintf("interface %s has no %s address (yet), which the session with %s needs", name, kind(peer), peer)
	default:
		return local, fmt.Sprintf("interface %s has %d addresses that could be this end's of the session with %s: set address to the one that the peer knows", name, len(near), peer)
	}
}

func isLinkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

func kind(a netip.Addr) string {
	switch {
	case a.Is4():
		return "IPv4"
	case isLinkLocal6(a):
		return "IPv6 link-local"
	default:
		return "IPv6"
	}
}

// missing returns those of want that are not among have.
func missing(want, have []netip.Prefix) (out []netip.Prefix) {
	there := make(map[netip.Prefix]bool, len(have))
	for _, p := range have {
		there[p] = true
	}
	for _, p := range want {
		if !there[p] {
			out = append(out, p)
		}
	}
	return out
}
