package link

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// Present is an interface that is there.
type Present struct {
	Name, Alias string
	Loopback    bool
	// With the length of the subnet, host part included; point-to-point ones have no subnet.
	Addresses []netip.Prefix
}

// Inventory lists all interfaces of the calling thread's network namespace. It
// needs no privileges.
func Inventory() ([]Present, error) {
	s, err := newSource(nil)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	defer s.close()
	var links []found
	var addrs []rtnl.Address
	_, err = s.try(func() (err error) {
		if links, err = s.interfaces(); err == nil {
			addrs, err = s.addresses(0)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	of := map[int][]netip.Prefix{}
	for _, a := range addrs {
		p := a.Prefix
		if a.Peer.IsValid() {
			p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		}
		of[int(a.Index)] = append(of[int(a.Index)], p)
	}
	all := make([]Present, 0, len(links))
	for _, l := range links {
		all = append(all, Present{Name: l.name, Alias: l.alias, Loopback: l.has(unix.IFF_LOOPBACK), Addresses: of[l.index]})
	}
	return all, nil
}
