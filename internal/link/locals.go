package link

import (
	"net/netip"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"warren/martian"
)

// Redistribute says which of the kernel's prefixes Locals returns.
type Redistribute struct {
	// Connected: the subnets of the addresses of interfaces that run.
	Connected bool
	// Static: routes of the protocols static and boot, which is what an operator
	// types, blackhole, unreachable and prohibit routes among them: that is how
	// one writes down an aggregate.
	Static bool
	// Kernel: unicast routes of any other protocol, as of a DHCP client or another
	// routing daemon.
	Kernel bool
}

// locals is Watcher.Locals on one snapshot.
func (s *snapshot) locals(r Redistribute, globs []string, exclude func(ifname string) bool) []netip.Prefix {
	counts := func(index int) bool { return s.counts(index, globs, exclude) }
	var out []netip.Prefix
	if r.Connected {
		for _, a := range s.addresses {
			if announceable(a.subnet) && counts(a.index) && (!a.noRoute || s.onLink(a)) {
				out = append(out, a.subnet)
			}
		}
	}
	for _, route := range s.routes {
		static := route.protocol == unix.RTPROT_STATIC || route.protocol == unix.RTPROT_BOOT
		if static && r.Static || !static && r.Kernel {
			if route.usable(static && len(globs) == 0, counts) {
				out = append(out, route.prefix)
			}
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// connected is Watcher.Connected on one snapshot.
func (s *snapshot) connected() []netip.Prefix {
	var out []netip.Prefix
	add := func(index int, p netip.Prefix) {
		if i := s.interfaces[index]; i.up && !i.vrf && announceable(p) {
			out = append(out, p)
		}
	}
	for _, a := range s.addresses {
		add(a.index, a.subnet)
		if a.host.IsValid() {
			add(a.index, netip.PrefixFrom(a.host, a.host.BitLen()))
		}
	}
	for _, r := range s.routes {
		// What is routed into a tunnel without a gateway is at its far end.
		if i := s.interfaces[r.indexes[0]]; r.typ == unix.RTN_UNICAST && !r.gateway && !i.pointToPoint && !i.loopback {
			add(r.indexes[0], r.prefix)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// counts reports whether what is behind an interface may be announced.
func (s *snapshot) counts(index int, globs []string, exclude func(string) bool) bool {
	i, ok := s.interfaces[index]
	if !ok || !i.running || i.vrf || exclude != nil && exclude(i.name) {
		return false
	}
	if len(globs) == 0 {
		return !i.loopback
	}
	return slices.ContainsFunc(globs, func(g string) bool {
		match, err := path.Match(g, i.name)
		return err == nil && match
	})
}

// onLink reports whether the subnet of an address without a route of the
// kernel's own is reached through the interface all the same: network managers
// write that route themselves.
func (s *snapshot) onLink(a address) bool {
	return slices.ContainsFunc(s.routes, func(r localRoute) bool {
		return r.prefix == a.subnet && r.typ == unix.RTN_UNICAST && !r.gateway && r.indexes[0] == a.index
	})
}

// usable reports whether the route leads somewhere that counts. A route that
// leads nowhere on purpose has no interface, so it counts only if any
// interface would do.
func (r *localRoute) usable(discard bool, counts func(index int) bool) bool {
	switch r.typ {
	case unix.RTN_UNICAST:
		return slices.ContainsFunc(r.indexes[:], func(i int) bool { return i != 0 && counts(i) })
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT:
		return discard
	default:
		return false
	}
}

// announceable is false for martians and for the default route: who
// redistributes static routes does not mean the underlay's default. To announce
// a default route it has to be named among the networks.
func announceable(p netip.Prefix) bool {
	return p.IsValid() && p.Bits() > 0 && !martian.Is(p)
}
