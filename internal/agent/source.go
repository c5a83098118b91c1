package agent

import (
	"cmp"
	"net/netip"
	"slices"

	"warren/internal/link"
	"warren/internal/status"
)

// sources are the addresses that this router's own packets into tunnels come from;
// a zero one is the kernel's choice, which mostly is the underlay's address.
type sources struct{ v4, v6 netip.Addr }

// setSources has learned routes prefer the configured source, or else an address
// inside what this router announces, so that the answers come by the tunnel.
func (l *loop) setSources() {
	hosts := slices.DeleteFunc(l.locals.Hosts(), func(h link.Host) bool { return l.isTunnel(h.Interface) })
	chosen := chooseSources(hosts, l.cfg.Announce.Networks, l.home, l.locals.Gateways())
	l.assignedSources(&chosen)
	err := l.routes.SetSources(chosen.v4, chosen.v6)
	if l.play(tried{subject{kind: kindSource}, err}); err != nil {
		return
	}
	next := chosen // a configured one holds, as in fib
	if l.cfg.FIB.Source4.IsValid() {
		next.v4 = l.cfg.FIB.Source4
	}
	if l.cfg.FIB.Source6.IsValid() {
		next.v6 = l.cfg.FIB.Source6
	}
	if next != l.source {
		l.log.Info("own packets into tunnels have another source", "ipv4", addrText(next.v4), "ipv6", addrText(next.v6))
	}
	l.source = next
}

// chooseSources chooses an address of each family among hosts, which are not those
// of tunnels. Own are all prefixes that this router announces, networks those of them
// that the operator named. An address inside a network comes before one inside
// another own prefix; then one whose whole subnet is inside, and with which no
// gateway shares the subnet, as the underlay's does; then the one in the longest
// prefix, and the lowest.
func chooseSources(hosts []link.Host, networks, own []netip.Prefix, gateways []netip.Addr) sources {
	var chosen sources
	var best4, best6 rank
	for _, h := range hosts {
		r, ok := rankOf(h, networks, own, gateways)
		switch {
		case !ok:
		case h.Addr.Is4():
			if !chosen.v4.IsValid() || r.compare(best4) < 0 {
				chosen.v4, best4 = h.Addr, r
			}
		default:
			if !chosen.v6.IsValid() || r.compare(best6) < 0 {
				chosen.v6, best6 = h.Addr, r
			}
		}
	}
	return chosen
}

// rank orders addresses: the lowest is the best.
type rank struct {
	found   int // inside a network: 0; only inside what was redistributed: 1
	outside int // of the subnet a part is outside: 1
	gateway int // a gateway is in the subnet: 1
	length  int // negative, of the longest prefix around it
	addr    netip.Addr
}

func (r rank) compare(o rank) int {
	return cmp.Or(r.found-o.found, r.outside-o.outside, r.gateway-o.gateway, r.length-o.length, r.addr.Compare(o.addr))
}

// rankOf is the best rank that h has in an own prefix. ok is false if none is around it.
func rankOf(h link.Host, networks, own []netip.Prefix, gateways []netip.Addr) (best rank, ok bool) {
	for _, p := range own {
		if !atHome(p) || !p.Contains(h.Addr) {
			continue
		}
		r := rank{length: -p.Bits(), addr: h.Addr}
		if !slices.Contains(networks, p) {
			r.found = 1
		}
		if h.Subnet.Bits() < p.Bits() || !p.Contains(h.Subnet.Addr()) {
			r.outside = 1
		}
		if slices.ContainsFunc(gateways, h.Subnet.Contains) {
			r.gateway = 1
		}
		if !ok || r.compare(best) < 0 {
			best, ok = r, true
		}
	}
	return best, ok
}

// atHome reports whether all of a prefix that this router announces is at home. A
// default route, or 2000::/3, offers a way elsewhere (as in bgp.Protected).
func atHome(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() >= 8
	}
	return p.Bits() >= 16
}

// sourceHints says for which family the router's own packets have no source inside
// what it announces.
func (l *loop) sourceHints() (hints []status.Hint) {
	for _, family := range []struct {
		name   string
		source netip.Addr
		is4    bool
	}{{"IPv4", l.source.v4, true}, {"IPv6", l.source.v6, false}} {
		announces := slices.ContainsFunc(l.home, func(p netip.Prefix) bool { return p.Addr().Is4() == family.is4 && atHome(p) })
		if announces && !family.source.IsValid() {
			hints = append(hints, status.Hint{Text: "this router has no " + family.name + " address inside the networks that it announces: " +
				"what it sends into tunnels itself has the underlay's address, and the answers may cross the underlay in clear; " +
				"give an interface an address inside them, or name one in [fib] source"})
		}
	}
	return hints
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
