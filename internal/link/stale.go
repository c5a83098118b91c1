package link

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
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
	return removeAll(func(l found) bool {
		return l.kind == tunKind && isOurs(l.name, l.alias) && (l.persistent || l.ownerless)
	})
}

// removeAll removes the interfaces for which stale is true.
func removeAll(stale func(found) bool) (removed []string, err error) {
	s, err := newSource(nil)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	defer s.close()
	var links []found
	_, err = s.try(func() (err error) {
		links, err = s.interfaces()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	var errs []error
	for _, l := range links {
		if !stale(l) {
			continue
		}
		err := notFound(netlink.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: l.index}}))
		if err != nil && !errors.Is(err, ErrNotFound) {
			errs = append(errs, fmt.Errorf("link: delete %s: %w", l.name, err))
			continue
		}
		removed = append(removed, l.name)
	}
	return removed, errors.Join(errs...)
}
