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
// If there is none, problem says what is missing.
func localAddress(name string, have []netip.Prefix, peer netip.Addr) (local netip.Addr, problem string) {
	var kin []netip.Prefix
	best := netip.Prefix{}
	for _, p := range have {
		a := p.Addr()
		if a == peer {
			return local, fmt.Sprintf("peer_address %s is this router's own address on %s: it must be the peer's", peer, name)
		}
		if a.Is4() != peer.Is4() || isLinkLocal6(a) != isLinkLocal6(peer) {
			continue
		}
		kin = append(kin, p)
		if p.Contains(peer) && (!best.IsValid() || p.Bits() > best.Bits()) {
			best = p
		}
	}
	switch {
	case best.IsValid():
		return best.Addr(), ""
	case len(kin) == 1:
		return kin[0].Addr(), ""
	case len(kin) == 0:
		return local, fmt.Sprintf("interface %s has no %s address (yet), which the session with %s needs", name, kind(peer), peer)
	default:
		return local, fmt.Sprintf("none of the %d %s addresses of %s is in one subnet with peer_address %s: set address", len(kin), kind(peer), name, peer)
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
