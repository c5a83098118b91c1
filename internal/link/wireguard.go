package link

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoWireGuard is wrapped by the error of AddWireGuard where the kernel has no WireGuard.
var ErrNoWireGuard = errors.New("the kernel has no WireGuard (it came with Linux 5.6; `modprobe wireguard` says what is wrong)")

// AddWireGuard makes an interface that the kernel's WireGuard carries, which is down and has no keys, with an alias
// of at most 255 bytes. With adopt one that is there already with this alias is taken as it is. It returns the
// interface's index.
func AddWireGuard(name, alias string, adopt bool) (index int, err error) {
	l, err := find(name)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return 0, fmt.Errorf("link: find %s: %w", name, err)
	case adopt && l.Type() == wireguardKind && l.Attrs().Alias == alias:
		return l.Attrs().Index, nil
	default:
		return 0, fmt.Errorf("link: make %s: an interface of that name is there already", name)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Alias = name, alias
	err = netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = ErrNoWireGuard
	}
	if err != nil {
		return 0, fmt.Errorf("link: make %s: %w", name, err)
	}
	if l, err = find(name); err != nil {
		return 0, fmt.Errorf("link: make %s: %w", name, err)
	}
	if l.Attrs().Alias != alias { // kernels before 5.5 take none at once
		if err := SetAlias(name, alias); err != nil {
			return 0, errors.Join(err, Delete(name))
		}
	}
	return l.Attrs().Index, nil
}

// RemoveWireGuards removes the interfaces of the kernel's WireGuard whose alias has a suffix, but for those of
// the names in keep, and returns their names. Unlike a TUN device such an interface outlives the
// process that made it, and does not say whether that still runs: the suffix has to.
func RemoveWireGuards(suffix string, keep map[string]bool) (removed []string, err error) {
	return removeAll(func(l found) bool {
		return l.kind == wireguardKind && strings.HasSuffix(l.alias, suffix) && !keep[l.name]
	})
}

// RemoveWireGuard removes the interface of that name if it is one of the kernel's WireGuard with an alias for which isStale is
// true. It is no error if there is none.
func RemoveWireGuard(name string, isStale func(alias string) bool) error {
	l, err := find(name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil && l.Type() == wireguardKind && isStale(l.Attrs().Alias) {
		err = netlink.LinkDel(l)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("link: remove %s, which is another tunnel's: %w", name, err)
	}
	return nil
}
