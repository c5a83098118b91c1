package agent

import (
	"net/netip"

	"warren/bgp"
	"warren/internal/config"
)

// protect finds out what no neighbor may take.
func (l *loop) protect() {
	own, reserved := l.own, hosts(l.locals.Gateways())
	own = append(own[:len(own):len(own)], l.locals.Connected()...)
	l.m.all(func(a *attachment) {
		if a.isLAN() { // its network is connected while there is one
			reserved = append(reserved, hosts([]netip.Addr{a.lan.Address})...)
			return
		}
		subnets, addresses := tunnelAddresses(a.cfg, a.ends)
		own, reserved = append(own, subnets...), append(append(reserved, addresses...), hosts(a.assigned)...)
	})
	l.state.protect(bgp.NewProtected(own, reserved))
}

// tunnelAddresses returns the subnets and the addresses of a tunnel: those that
// are configured, be the tunnel up or not, and the two ends of its last session,
// which are derived where none are configured. A peer must not attract the
// traffic to another tunnel's far end.
func tunnelAddresses(t config.Tunnel, ends []netip.Addr) (subnets, addresses []netip.Prefix) {
	all := append([]netip.Addr{t.PeerAddress}, ends...)
	for _, a := range t.Address {
		subnets, all = append(subnets, a), append(all, a.Addr())
	}
	if len(t.Address) == 0 && !t.PeerAddress.IsValid() && len(ends) > 0 {
		subnets = append(subnets, pairsOf(ends)...)
	}
	return subnets, hosts(all)
}

// hosts returns the prefixes that are one address long.
func hosts(addrs []netip.Addr) (prefixes []netip.Prefix) {
	for _, a := range addrs {
		if a.IsValid() {
			prefixes = append(prefixes, netip.PrefixFrom(a.WithZone(""), a.BitLen()))
		}
	}
	return prefixes
}
