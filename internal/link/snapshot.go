package link

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// dumpTries bounds how often a dump is repeated because the kernel's tables
// changed under it.
const dumpTries = 5

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

// source reads snapshots. Its sockets stay in the namespace they were opened in.
type source struct {
	handle  *netlink.Handle
	routes  *rtnl.Conn
	objects map[uint32]rtnl.NextHop // the kernel's next-hop objects, for one look
	owned   []int
}

func newSource(owned []int) (*source, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	r, err := rtnl.Dial()
	if err != nil {
		h.Close()
		return nil, err
	}
	return &source{handle: h, routes: r, owned: owned}, nil
}

func (s *source) close() {
	s.handle.Close()
	s.routes.Close()
}

// read takes a snapshot. whole is false if the kernel's tables kept changing
// meanwhile: something may be missing, read again later.
func (s *source) read() (snap *snapshot, whole bool, err error) {
	for range dumpTries {
		snap, err = s.readOnce()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return snap, true, err
		}
	}
	return snap, false, nil
}

func (s *source) readOnce() (*snapshot, error) {
	snap := &snapshot{began: time.Now(), interfaces: make(map[int]iface)}
	links, errL := s.handle.LinkList()
	addrs, errA := s.handle.AddrList(nil, netlink.FAMILY_ALL)
	var errO error
	s.objects, errO = s.routes.NextHops()
	errR := errors.Join(errO, s.readRoutes(snap, unix.AF_INET), s.readRoutes(snap, unix.AF_INET6))

	vrfs := make(map[int]bool)
	for _, l := range links {
		if l.Type() == "vrf" {
			vrfs[l.Attrs().Index] = true
		}
	}
	for _, l := range links {
		a := l.Attrs()
		tun, isTUN := l.(*netlink.Tuntap)
		snap.interfaces[a.Index] = iface{
			name:       a.Name,
			up:         a.RawFlags&unix.IFF_UP != 0,
			carrier:    a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0,
			running:    a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
			loopback:   a.RawFlags&unix.IFF_LOOPBACK != 0,
			vrf:        vrfs[a.MasterIndex],
			persistent: isTUN && !tun.NonPersist,

			pointToPoint: a.RawFlags&unix.IFF_POINTOPOINT != 0,
		}
	}
	for _, a := range addrs {
		if out, ok := parseAddress(a); ok {
			snap.addresses = append(snap.addresses, out)
		}
	}
	slices.SortFunc(snap.addresses, func(a, b address) int {
		return cmp.Or(a.subnet.Compare(b.subnet), cmp.Compare(a.index, b.index), a.host.Compare(b.host))
	})
	slices.SortFunc(snap.gateways, netip.Addr.Compare)
	slices.SortStableFunc(snap.routes, func(a, b localRoute) int { return a.prefix.Compare(b.prefix) })
	return snap, interruptedLast(errL, errA, errR)
}

// interruptedLast returns the first error, an interruption only if there is no
// other.
func interruptedLast(errs ...error) error {
	var interrupted error
	for _, err := range errs {
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			interrupted = netlink.ErrDumpInterrupted
		} else if err != nil {
			return err
		}
	}
	return interrupted
}

// parseAddress reduces an address. ok is false for one that must not be used.
func parseAddress(a netlink.Addr) (out address, ok bool) {
	if a.Flags&unix.IFA_F_DADFAILED != 0 {
		return out, false
	}
	own, ok := prefixOf(a.IPNet)
	if !ok {
		return out, false
	}
	n := a.IPNet
	if a.Peer != nil {
		n = a.Peer
	}
	p, ok := prefixOf(n)
	passing := unix.IFA_F_TENTATIVE | unix.IFA_F_DEPRECATED
	if own.Addr().Is6() { // the number stands for a secondary address in IPv4
		passing |= unix.IFA_F_TEMPORARY
	}
	return address{
		index: a.LinkIndex, host: own.Addr(), subnet: p.Masked(), noRoute: a.Flags&unix.IFA_F_NOPREFIXROUTE != 0,
		lasting: a.Flags&passing == 0 && a.Scope != unix.RT_SCOPE_HOST,
	}, ok
}
