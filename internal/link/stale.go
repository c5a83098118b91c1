package link

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// RemoveStale removes the TUN devices that a killed daemon left behind, and
// returns their names. Those are the ones for which isOurs is true, and which
//
//   - are persistent: a TUN that works is not, it goes with the process that
//     holds it, so the tunnels of another running daemon are safe; or
//   - have no owner, as another process can only have that attached to a device
//     of an earlier release: a daemon's own has one from the start.
//
// A device that cannot be removed does not keep the others; the errors are
// joined.
func RemoveStale(isOurs func(name, alias string) bool) (removed []string, err error) {
	return removeAll(func(l netlink.Link) bool {
		tun, ok := l.(*netlink.Tuntap)
		a := l.Attrs()
		return ok && isOurs(a.Name, a.Alias) && (!tun.NonPersist || !isOwned(a.Index))
	})
}

// removeAll removes the interfaces for which stale is true.
func removeAll(stale func(netlink.Link) bool) (removed []string, err error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("link: list the interfaces: %w", err)
	}
	var errs []error
	for _, l := range links {
		if !stale(l) {
			continue
		}
		name := l.Attrs().Name
		if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("link: delete %s: %w", name, err))
			continue
		}
		removed = append(removed, name)
	}
	return removed, errors.Join(errs...)
}

// isOwned reports whether a TUN device has an owner, root or another; true if that is not
// known. netlink.Tuntap has 0 both for root and for none.
func isOwned(index int) bool {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	req.AddData(msg)
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil || len(answers) != 1 || len(answers[0]) < unix.SizeofIfInfomsg {
		return true
	}
	data := answers[0][unix.SizeofIfInfomsg:]
	for _, t := range []uint16{unix.IFLA_LINKINFO, unix.IFLA_INFO_DATA} {
		var found bool
		if data, found = attribute(data, t); !found {
			return true
		}
	}
	_, found := attribute(data, nl.IFLA_TUN_OWNER)
	return found
}

// attribute returns the value of the first attribute of a type.
func attribute(b []byte, typ uint16) (value []byte, found bool) {
	for t, v := range rtnl.Attributes(b) {
		if t == typ {
			return v, true
		}
	}
	return nil, false
}
