package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// dummy is the IPv4 address of who has none (RFC 7600, section 4.8). It has the scope of the
// host, so that the kernel never sends from it.
var dummy = netip.MustParsePrefix("192.0.0.8/32")

// WithIPv4 returns addresses for a tunnel's interface, with a dummy one if none of them is
// an IPv4 one. For on an interface without any, a loose reverse path filter (see [Prepare])
// still lets nothing pass that has its way back through another (net/ipv4/fib_frontend.c,
// __fib_validate_source).
func WithIPv4(addresses []netip.Prefix) []netip.Prefix {
	if slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Addr().Is4() }) {
		return addresses
	}
	return append(slices.Clone(addresses), dummy)
}

// ErrNoIPv6 is wrapped by the error for an IPv6 address that no interface can have, because the
// kernel has no IPv6, or this interface, because it is turned off there.
var ErrNoIPv6 = errors.New("IPv6 is off")

// HasIPv6 reports whether the kernel has IPv6 at all.
func HasIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return !errors.Is(err, unix.EAFNOSUPPORT)
	}
	unix.Close(fd)
	return true
}

// SetAddresses makes the interface's addresses equal to want and quiet, each an address
// with the length of its subnet. It is idempotent: what is there already is left
// alone. A link-local address of the kernel's own making stays, unless want has
// a link-local address too.
//
// IPv6 addresses are usable at once (no duplicate address detection: there is
// one other end, and it is configured too). IPv4 addresses get no broadcast
// address. The kernel adds the routes of the subnets. It never chooses one of quiet as the
// source of what has none.
func SetAddresses(name string, want []netip.Prefix, quiet ...netip.Prefix) error {
	want = slices.Concat(want, quiet)
	for _, w := range want {
		if !w.IsValid() || w.Addr().Is4In6() || w.Addr().Zone() != "" {
			return fmt.Errorf("link: address %s of %s is not valid", w, name)
		}
	}
	l, err := find(name)
	if err != nil {
		return fmt.Errorf("link: set the addresses of %s: %w", name, err)
	}
	// Removing an IPv4 address removes others of its subnet with it
	// (net.ipv4.conf.*.promote_secondaries), so look again after a removal.
	for range 3 {
		removed, err := setAddresses(l, want, quiet)
		if err != nil {
			return fmt.Errorf("link: set the addresses of %s: %w", name, err)
		}
		if !removed {
			return nil
		}
	}
	return fmt.Errorf("link: set the addresses of %s: something else keeps changing them", name)
}

// setAddresses does one pass, and reports whether it removed any.
func setAddresses(l netlink.Link, want, quiet []netip.Prefix) (removed bool, err error) {
	have, err := addressesOf(l)
	if err != nil {
		return false, err
	}
	wantLinkLocal := slices.ContainsFunc(want, func(p netip.Prefix) bool { return isLinkLocal6(p.Addr()) })
	var there []netip.Prefix
	var unwanted []rtnl.Address
	for _, a := range have {
		p := a.Prefix
		switch {
		case !a.Peer.IsValid() && slices.Contains(want, p):
			there = append(there, p)
		case isLinkLocal6(p.Addr()) && !wantLinkLocal && isKernelMade(l, a):
		case p.Addr().Is6() && slices.ContainsFunc(want, func(w netip.Prefix) bool { return w.Addr() == p.Addr() }):
			// The same address with another length: IPv6 allows only one.
			if err := deleteAddr(l, a); err != nil {
				return removed, err
			}
			removed = true
		default:
			unwanted = append(unwanted, a)
		}
	}
	for _, w := range want {
		if slices.Contains(there, w) {
			continue
		}
		if err := addAddr(l, w, slices.Contains(quiet, w)); err != nil {
			return removed, err
		}
	}
	for _, a := range unwanted {
		if err := deleteAddr(l, a); err != nil {
			return removed, err
		}
		removed = true
	}
	return removed, nil
}

// Addresses returns the interface's addresses, each with the length of its
// subnet.
func Addresses(name string) ([]netip.Prefix, error) {
	l, err := find(name)
	var have []rtnl.Address
	if err == nil {
		have, err = addressesOf(l)
	}
	if err != nil {
		return nil, fmt.Errorf("link: addresses of %s: %w", name, err)
	}
	all := make([]netip.Prefix, 0, len(have))
	for _, a := range have {
		all = append(all, a.Prefix)
	}
	return all, nil
}

// AddAddresses gives the interface addresses beside those that it has, each with
// the length of its subnet, and returns the ones that it did not have before.
// Nothing is removed. On an error the ones added so far are returned with it. The kernel never chooses one of quiet as
// the source of what has none.
func AddAddresses(name string, more []netip.Prefix, quiet ...netip.Prefix) (added []netip.Prefix, err error) {
	l, err := find(name)
	if err != nil {
		return nil, fmt.Errorf("link: add addresses to %s: %w", name, err)
	}
	for _, p := range more {
		err := addNew(l, p, slices.Contains(quiet, p))
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return added, fmt.Errorf("link: add addresses to %s: %w", name, err)
		}
		added = append(added, p)
	}
	return added, nil
}

// RemoveAddresses takes addresses from the interface, and leaves all others. It
// is no error if the interface has not got one of them, or is gone.
func RemoveAddresses(name string, addresses []netip.Prefix) error {
	l, err := find(name)
	if err == nil {
		err = removeAddresses(l, addresses)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("link: remove addresses of %s: %w", name, err)
	}
	return nil
}

func removeAddresses(l netlink.Link, addresses []netip.Prefix) error {
	have, err := addressesOf(l)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range have {
		if !a.Peer.IsValid() && slices.Contains(addresses, a.Prefix) {
			errs = append(errs, deleteAddr(l, a))
		}
	}
	return errors.Join(errs...)
}

// addAddr is addNew for an address that may be there already.
func addAddr(l netlink.Link, p netip.Prefix, quiet bool) error {
	if err := addNew(l, p, quiet); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func addNew(l netlink.Link, p netip.Prefix, quiet bool) error {
	a := &netlink.Addr{
		IPNet:     ipNet(p),
		Broadcast: net.IPv4zero, // the library's word for none
	}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if p == dummy || quiet {
		a.Scope = unix.RT_SCOPE_HOST
	}
	err := netlink.AddrAdd(l, a)
	switch {
	case err == nil:
		return nil
	case p.Addr().Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)):
		return fmt.Errorf("add %s: %w (%w: see net.ipv6.conf.%s.disable_ipv6)", p, err, ErrNoIPv6, l.Attrs().Name)
	default:
		return fmt.Errorf("add %s: %w", p, notFound(err))
	}
}

// deleteAddr removes an address. That it is not there, or the interface is not, is no error.
func deleteAddr(l netlink.Link, a rtnl.Address) error {
	old := netlink.Addr{IPNet: ipNet(a.Prefix)}
	if a.Peer.IsValid() {
		old.Peer = ipNet(netip.PrefixFrom(a.Peer, a.Prefix.Bits()))
	}
	switch err := notFound(netlink.AddrDel(l, &old)); {
	case err == nil, errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, ErrNotFound):
		return nil
	default:
		return fmt.Errorf("remove %s: %w", a.Prefix, err)
	}
}

// isKernelMade tells link-local addresses that the kernel made by itself: from a
// secret, as it does for devices without a hardware address such as a TUN, or
// from the hardware address (net/ipv6/addrconf.c, addrconf_addr_gen).
func isKernelMade(l netlink.Link, a rtnl.Address) bool {
	if a.Flags&unix.IFA_F_STABLE_PRIVACY != 0 {
		return true
	}
	hw := l.Attrs().HardwareAddr
	if len(hw) != 6 {
		return false
	}
	b := a.Prefix.Addr().As16()
	eui64 := [8]byte{hw[0] ^ 2, hw[1], hw[2], 0xff, 0xfe, hw[3], hw[4], hw[5]}
	return [8]byte(b[8:]) == eui64
}

func isLinkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// ipNet is the library's form of a prefix.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
