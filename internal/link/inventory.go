package link

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Present is an interface that is there.
type Present struct {
	Name, Alias string
	Loopback    bool
	Addresses   []netip.Prefix // with the length of the subnet, host part included
}

// Inventory lists all interfaces of the calling thread's network namespace. It
// needs no privileges.
func Inventory() ([]Present, error) {
	var links []netlink.Link
	var addrs []netlink.Addr
	err := error(netlink.ErrDumpInterrupted)
	for i := 0; i < dumpTries && errors.Is(err, netlink.ErrDumpInterrupted); i++ {
		var errL, errA error
		links, errL = netlink.LinkList()
		addrs, errA = netlink.AddrList(nil, netlink.FAMILY_ALL)
		err = interruptedLast(errL, errA)
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("link: list the interfaces and their addresses: %w", err)
	}
	of := map[int][]netip.Prefix{}
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok {
			of[a.LinkIndex] = append(of[a.LinkIndex], p)
		}
	}
	all := make([]Present, 0, len(links))
	for _, l := range links {
		a := l.Attrs()
		all = append(all, Present{
			Name: a.Name, Alias: a.Alias,
			Loopback:  a.RawFlags&unix.IFF_LOOPBACK != 0,
			Addresses: of[a.Index],
		})
	}
	return all, nil
}
