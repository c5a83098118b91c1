package external

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// sight is what there is to see of an interface at one moment.
type sight struct {
	index     int // 0: there is no such interface
	mtu       int // bytes
	up        bool
	running   bool // has a carrier, as far as its driver can tell
	broadcast bool // an Ethernet segment or the like
	addresses []netip.Prefix
}

// lookAt sees the interface of that name in the calling thread's network
// namespace.
func lookAt(name string) (sight, error) {
	all, err := net.Interfaces()
	if err != nil {
		return sight{}, fmt.Errorf("list the interfaces: %w", err)
	}
	i := slices.IndexFunc(all, func(i net.Interface) bool { return i.Name == name })
	if i < 0 {
		return sight{}, nil
	}
	ifi := all[i]
	s := sight{
		index: ifi.Index, mtu: ifi.MTU,
		up: ifi.Flags&net.FlagUp != 0,
		// IFF_RUNNING is the operational state of RFC 2863, not the bare
		// carrier: devices without one, as most tunnels are, have it too.
		running:   ifi.Flags&net.FlagRunning != 0,
		broadcast: ifi.Flags&net.FlagBroadcast != 0,
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return sight{}, fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, ok := netip.AddrFromSlice(n.IP)
		bits, size := n.Mask.Size()
		if addr = addr.Unmap(); ok && size == addr.BitLen() {
			s.addresses = append(s.addresses, netip.PrefixFrom(addr, bits))
		}
	}
	return s, nil
}

// problem says why the interface cannot carry anything, or nothing.
func (s sight) problem(name string) string {
	switch {
	case s.index == 0:
		return fmt.Sprintf("interface %s does not exist (yet)", name)
	case s.broadcast:
		return fmt.Sprintf("interface %s is an Ethernet segment, not a point-to-point link: use a tunnel without Ethernet in it (tun, WireGuard, GRE, IPIP)", name)
	case !s.up:
		return fmt.Sprintf("interface %s is down: whoever made it has to set it up", name)
	case !s.running:
		return fmt.Sprintf("interface %s has no carrier: whatever works it is not running", name)
	}
	return ""
}
