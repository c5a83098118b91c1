package underlay

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
	strict   []netlink.Link  // those of the underlay whose reverse path filter may drop what arrives for transports
	addrs    []netip.Addr    // of the underlay
}

// links looks at all interfaces; tunnels is sorted, loose tells that the loose filter
// counts as strict.
func (k *kernel) links(tunnels []string, loose bool) (links, error) {
	all, err := retryDump(k.handle.LinkList)
	if err != nil {
		return links{}, fmt.Errorf("underlay: list interfaces: %w", err)
	}
	filters, err := k.rpFilters()
	if err != nil {
		return links{}, err
	}
	l := links{tunnels: make(map[uint32]bool), underlay: make(map[uint32]bool), silent: make(map[uint32]bool)}
	for _, link := range all {
		a := link.Attrs()
		// An Ethernet segment cannot be a tunnel, whatever a config calls one: it
		// is rather the underlay, and without it all transports would be cut off.
		if _, is := slices.BinarySearch(tunnels, a.Name); is && a.Flags&net.FlagBroadcast == 0 {
			l.tunnels[uint32(a.Index)] = true
			continue
		}
		if a.Flags&net.FlagUp != 0 && a.RawFlags&(unix.IFF_LOWER_UP|unix.IFF_RUNNING) == 0 {
			l.silent[uint32(a.Index)] = true
		} else {
			l.underlay[uint32(a.Index)] = true
		}
		// The kernel uses the greater of an interface's own and the common value.
		filter := max(filters[a.Index], filters[netconfIndexAll])
		switch {
		case a.Flags&net.FlagLoopback != 0 || a.Flags&net.FlagUp == 0:
		case filter == rpFilterStrict, filter == rpFilterLoose && loose:
			l.strict = append(l.strict, link)
		}
	}
	addrs, err := retryDump(func() ([]netlink.Addr, error) { return k.handle.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return links{}, fmt.Errorf("underlay: list addresses: %w", err)
	}
	for _, a := range addrs {
		if addr, ok := netip.AddrFromSlice(a.IP); ok && !l.tunnels[uint32(a.LinkIndex)] {
			l.addrs = append(l.addrs, addr.Unmap())
		}
	}
	return l, nil
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

// returnRules are the selectors of what else goes the transports' way, so that answers
// come in through a strict filter. The
// filter asks for the way back to the sender in a lookup that carries no mark,
// and drops the packet if the answer is the tunnel. It does look like a lookup
// by this machine itself, so a rule can answer it: by the remote's address, or,
// for a listener that cannot know who will call, by its own address and port.
func (k *kernel) returnRules(strict []netlink.Link, paths []returnPath) ([]rule, error) {
	var rules []rule
	var listeners []returnPath
	for _, p := range paths {
		if !p.remote.IsValid() {
			listeners = append(listeners, p)
			continue
		}
		rules = append(rules, rule{iif: "lo", to: netip.PrefixFrom(p.remote, 32)})
	}
	if len(listeners) == 0 {
		return rules, nil
	}
	for _, link := range strict {
		addrs, err := retryDump(func() ([]netlink.Addr, error) { return k.handle.AddrList(link, unix.AF_INET) })
		if err != nil {
			return nil, fmt.Errorf("underlay: list addresses of %s: %w", link.Attrs().Name, err)
		}
		for _, a := range addrs {
			addr, _ := netip.AddrFromSlice(a.IP.To4())
			for _, p := range listeners {
				// Without an input interface: the kernel looks at ports only for rules without "iif lo".
				rules = append(rules, rule{
					from: netip.PrefixFrom(addr, 32), ipProto: p.ipProto, sport: span{uint32(p.port), uint32(p.port), true},
				})
			}
		}
	}
	return rules, nil
}

func (g *Guard) reportStrict(strict []netlink.Link) {
	var names []string
	for _, link := range strict {
		names = append(names, link.Attrs().Name)
	}
	slices.Sort(names)
	if slices.Equal(names, g.strictNames) {
		return
	}
	g.strictNames = names
	if len(names) > 0 {
		g.log.Info("rp_filter would drop what arrives for the transports where a learned route (with strict rp_filter) or "+
			"an unreachable one covers the sender; rules for the transports' remotes and ports now let it in", "interface", names)
	}
}
