package link

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"

	"warren/internal/rtnl"
)

// Leads is where the kernel sends a packet of this machine, and by which route.
type Leads struct {
	Prefix    netip.Prefix // of the route
	Table     int
	Metric    int
	Protocol  int        // who has written the route: RTPROT_BOOT, …
	Type      int        // RTN_UNICAST, RTN_LOCAL, …
	Interface string     // where the packet leaves
	Gateway   netip.Addr // not valid: none
	// Errno is not 0 where the packet goes nowhere: ENETUNREACH, as there is no route; EHOSTUNREACH,
	// EINVAL or EACCES, as there is one of a type that says so. IPv4 does not say which one.
	Errno syscall.Errno
}

// LeadsTo looks up in the calling thread's network namespace where a packet to an address goes.
func LeadsTo(to netip.Addr) (l Leads, err error) {
	conn, err := rtnl.Dial()
	if err != nil {
		return l, fmt.Errorf("link: look up a route: %w", err)
	}
	defer conn.Close()
	r, a, err := conn.Match(rtnl.Lookup{To: to})
	if err != nil || a.Errno != 0 {
		return Leads{Errno: a.Errno}, err
	}
	l = Leads{Prefix: r.Prefix, Table: int(r.Table), Metric: int(r.Metric), Protocol: int(r.Protocol), Type: int(r.Type)}
	way, a, err := conn.Lookup(rtnl.Lookup{To: to}) // of several ways, the one of this packet
	if err != nil {
		return l, fmt.Errorf("link: look up the way to %s: %w", to, err)
	}
	if l.Errno, l.Gateway = a.Errno, way.Gateway; way.Index != 0 {
		if is, err := netlink.LinkByIndex(int(way.Index)); err == nil { // else it has just gone
			l.Interface = is.Attrs().Name
		}
	}
	return l, nil
}
