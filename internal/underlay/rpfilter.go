package underlay

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// Attributes and values of linux/netconf.h.
const (
	netconfaIfindex  = 1
	netconfaRPFilter = 3
	netconfIndexAll  = -1
	rpFilterStrict   = 1
	rpFilterLoose    = 2
)

// links is what the guard needs to know of the interfaces.
type links struct {
	tunnels  map[uint32]bool // by index
	underlay map[uint32]bool // all others that packets can leave by
	silent   map[uint32]bool // those of the underlay that are up and have no carrier
	addrs    []netip.Addr    // of the underlay

	// Those of the underlay whose reverse path filter may drop what arrives for transports: their names, by index.
	strict map[uint32]string
}

// links looks at all interfaces; tunnels is sorted, loose tells that the loose filter
// counts as strict.
func (k *kernel) links(tunnels []string, loose bool) (links, error) {
	all, err := retryDump(k.listLinks)
	if err != nil {
		return links{}, fmt.Errorf("underlay: list interfaces: %w", err)
	}
	filters, err := retryDump(k.rpFilters)
	if err != nil {
		return links{}, err
	}
	l := links{
		tunnels: make(map[uint32]bool), underlay: make(map[uint32]bool), silent: make(map[uint32]bool),
		strict: make(map[uint32]string),
	}
	for _, link := range all {
		// An Ethernet segment cannot be a tunnel, whatever a config calls one: it
		// is rather the underlay, and without it all transports would be cut off.
		if _, is := slices.BinarySearch(tunnels, link.Name); is && !link.Broadcast {
			l.tunnels[link.Index] = true
			continue
		}
		if link.Up && !link.Carrier {
			l.silent[link.Index] = true
		} else {
			l.underlay[link.Index] = true
		}
		// The kernel uses the greater of an interface's own and the common value.
		filter := max(filters[int(link.Index)], filters[netconfIndexAll])
		switch {
		case link.Loopback || !link.Up:
		case filter == rpFilterStrict, filter == rpFilterLoose && loose:
			l.strict[link.Index] = link.Name
		}
	}
	addrs, err := retryDump(k.listAddresses)
	if err != nil {
		return links{}, fmt.Errorf("underlay: list addresses: %w", err)
	}
	for _, a := range addrs {
		addr := a.Prefix.Addr()
		if !l.tunnels[a.Index] {
			l.addrs = append(l.addrs, addr)
		}
	}
	return l, nil
}

func (k *kernel) listLinks() (all []rtnl.Link, err error) {
	err = k.list(unix.RTM_GETLINK, rtnl.LinkRequest(), func(typ uint16, m []byte) {
		if l, ok := rtnl.ParseLink(m); ok && typ == unix.RTM_NEWLINK {
			all = append(all, l)
		}
	})
	return all, err
}

// listAddresses asks for those of all interfaces at once: to be asked for those of one that has gone meanwhile
// the kernel takes for an error (net/ipv4/devinet.c, inet_dump_ifaddr).
func (k *kernel) listAddresses() (all []rtnl.Address, err error) {
	err = k.list(unix.RTM_GETADDR, rtnl.AddressRequest(0), func(typ uint16, m []byte) {
		if a, ok := rtnl.ParseAddress(m); ok && typ == unix.RTM_NEWADDR {
			all = append(all, a)
		}
	})
	return all, err
}

// rpFilters reads net.ipv4.conf.*.rp_filter by interface index. Netlink, unlike
// /proc, cannot be out of reach or of another namespace.
func (k *kernel) rpFilters() (map[int]int, error) {
	filters := make(map[int]int)
	head := []byte{unix.AF_INET, 0, 0, 0} // struct netconfmsg
	err := k.list(unix.RTM_GETNETCONF, head, func(typ uint16, m []byte) {
		attrs, err := parseAttrs(m[min(len(head), len(m)):])
		if err != nil || typ != unix.RTM_NEWNETCONF {
			return
		}
		index, value := find(attrs, netconfaIfindex), find(attrs, netconfaRPFilter)
		if len(index) >= 4 && len(value) >= 4 {
			filters[int(int32(binary.NativeEndian.Uint32(index)))] = int(int32(binary.NativeEndian.Uint32(value)))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("underlay: read rp_filter settings: %w", err)
	}
	return filters, nil
}

// portWithoutRule is the one that the kernel takes no rule for (include/net/fib_rules.h, fib_rule_port_range_valid).
const portWithoutRule = 65535

// returning are the selectors of what else goes the transports' way, so that answers
// come in through a strict filter. The
// filter asks for the way back to the sender in a lookup that carries no mark,
// and drops the packet if the answer is the tunnel. It does look like a lookup
// by this machine itself, so a rule can answer it: by the remote's address, or,
// for a listener that cannot know who will call, by its own address and port. That
// may be an address of another interface than the one that filters, of loopback for one:
// what is sent to any of them comes in by each.
type returning struct {
	each []rule // what one of these selects
	// And what both one of these selects and one of those.
	addresses, ports []rule
}

// returning selects for these paths.
func (l links) returning(paths []returnPath) (all returning) {
	own := make(map[netip.Addr]bool)
	for _, addr := range l.addrs {
		if addr.Is4() && !addr.IsLoopback() && !own[addr] { // IPv6 has no such filter, and nothing comes to 127.0.0.0/8 from elsewhere
			own[addr] = true
			all.addresses = append(all.addresses, rule{from: netip.PrefixFrom(addr, 32)})
		}
	}
	for _, p := range paths {
		// Without an input interface: the kernel looks at ports only for rules without "iif lo".
		port := rule{ipProto: p.ipProto, sport: span{uint32(p.port), uint32(p.port), true}}
		switch {
		case p.remote.IsValid():
			all.each = append(all.each, rule{iif: "lo", to: netip.PrefixFrom(p.remote, 32)})
		case p.port == portWithoutRule:
		case !p.local.IsValid():
			all.ports = append(all.ports, port)
		case own[p.local]:
			port.from = netip.PrefixFrom(p.local, 32)
			all.each = append(all.each, port)
		}
	}
	return all
}

func (g *Guard) reportStrict(strict map[uint32]string) {
	names := slices.Sorted(maps.Values(strict))
	if slices.Equal(names, g.strictNames) {
		return
	}
	g.strictNames = names
	if len(names) > 0 {
		g.log.Info("rp_filter would drop what arrives for the transports where a learned route (with strict rp_filter) or "+
			"an unreachable one covers the sender; rules for the transports' remotes and ports now let it in", "interface", names)
	}
}
