package link

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// snapshot is what the kernel has at one moment, reduced to what Watcher's
// methods look at. It is never changed once made.
type snapshot struct {
	began      time.Time     // when the kernel was asked; of no matter for equal
	interfaces map[int]iface // by index
	addresses  []address     // sorted
	gateways   []netip.Addr  // of foreign routes, sorted, each once
	routes     []localRoute  // sorted; announceable ones of the main table, neither owned nor the kernel's own
}

type iface struct {
	name       string
	up         bool // administratively
	carrier    bool // up, and has a carrier (IFF_LOWER_UP)
	running    bool // up, and has a carrier as far as one can know (IFF_RUNNING)
	loopback   bool
	vrf        bool // part of a VRF: its prefixes are not in the main table
	persistent bool // a TUN device that outlives the process that holds it

	pointToPoint bool // IFF_POINTOPOINT
}

type address struct {
	index   int
	host    netip.Addr   // this end's
	subnet  netip.Prefix // masked; the far end's on a point-to-point address
	noRoute bool         // the kernel adds no route of the subnet (noprefixroute)
	lasting bool         // packets may be sent from it now and later
}

func (s *snapshot) equal(t *snapshot) bool {
	return maps.Equal(s.interfaces, t.interfaces) &&
		slices.Equal(s.addresses, t.addresses) && slices.Equal(s.routes, t.routes) &&
		slices.Equal(s.gateways, t.gateways)
}

// read takes a snapshot. whole is false if the kernel's tables kept changing
// meanwhile: something may be missing, read again later.
func (s *source) read() (snap *snapshot, whole bool, err error) {
	whole, err = s.try(func() (err error) {
		snap, err = s.readOnce()
		return err
	})
	return snap, whole, err
}

func (s *source) readOnce() (*snapshot, error) {
	snap := &snapshot{began: time.Now()}
	links, err := s.interfaces()
	if err != nil {
		return nil, err
	}
	snap.interfaces = interfacesOf(links)
	addrs, err := s.addresses(0)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_DADFAILED == 0 { // else it must not be used
			snap.addresses = append(snap.addresses, addressOf(a))
		}
	}
	slices.SortFunc(snap.addresses, func(a, b address) int {
		return cmp.Or(a.subnet.Compare(b.subnet), cmp.Compare(a.index, b.index), a.host.Compare(b.host))
	})
	if s.objects, err = s.conn.NextHops(); err != nil {
		return nil, fmt.Errorf("list next-hop objects: %w", err)
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := s.readRoutes(snap, family); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(snap.gateways, netip.Addr.Compare)
	slices.SortStableFunc(snap.routes, func(a, b localRoute) int { return a.prefix.Compare(b.prefix) })
	return snap, nil
}

func interfacesOf(links []found) map[int]iface {
	vrfs := make(map[int]bool)
	for _, l := range links {
		if l.kind == vrfKind {
			vrfs[l.index] = true
		}
	}
	all := make(map[int]iface, len(links))
	for _, l := range links {
		all[l.index] = iface{
			name:       l.name,
			up:         l.has(unix.IFF_UP),
			carrier:    l.has(unix.IFF_UP | unix.IFF_LOWER_UP),
			running:    l.has(unix.IFF_UP | unix.IFF_RUNNING),
			loopback:   l.has(unix.IFF_LOOPBACK),
			vrf:        vrfs[l.master],
			persistent: l.persistent,

			pointToPoint: l.has(unix.IFF_POINTOPOINT),
		}
	}
	return all
}

// addressOf reduces an address.
func addressOf(a rtnl.Address) address {
	own, subnet := a.Prefix.Addr(), a.Prefix
	if a.Peer.IsValid() {
		subnet = netip.PrefixFrom(a.Peer, a.Prefix.Bits())
	}
	passing := uint32(unix.IFA_F_TENTATIVE | unix.IFA_F_DEPRECATED)
	if own.Is6() { // the number stands for a secondary address in IPv4
		passing |= unix.IFA_F_TEMPORARY
	}
	return address{
		index: int(a.Index), host: own, subnet: subnet.Masked(), noRoute: a.Flags&unix.IFA_F_NOPREFIXROUTE != 0,
		lasting: a.Flags&passing == 0 && a.Scope != unix.RT_SCOPE_HOST,
	}
}
