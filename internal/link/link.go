package link

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SetUp sets the interface's MTU and takes it up. mtu is in bytes, 68 to 65535,
// at least 1280 for IPv6 to work on it; 0 leaves it as it is.
func SetUp(name string, mtu int) error {
	l, err := find(name)
	if err != nil {
		return fmt.Errorf("link: set %s up: %w", name, err)
	}
	if mtu != 0 && l.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("link: set the MTU of %s to %d: %w", name, mtu, notFound(err))
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("link: set %s up: %w", name, notFound(err))
	}
	return nil
}

// SetMTU sets the MTU of the interface with an index, as SetUp does.
func SetMTU(index, mtu int) error {
	if err := netlink.LinkSetMTU(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}, mtu); err != nil {
		return fmt.Errorf("link: set the MTU of interface %d to %d: %w", index, mtu, notFound(err))
	}
	return nil
}

// SetDown takes the interface down. The kernel removes the routes through it.
func SetDown(name string) error {
	l, err := find(name)
	if err == nil {
		err = netlink.LinkSetDown(l)
	}
	if err != nil {
		return fmt.Errorf("link: set %s down: %w", name, notFound(err))
	}
	return nil
}

// SetAlias sets the interface's alias (`ip link` shows it), the mark by which
// RemoveStale knows an interface. At most 255 bytes.
func SetAlias(name, alias string) error {
	l, err := find(name)
	if err == nil {
		err = netlink.LinkSetAlias(l, alias)
	}
	if err != nil {
		return fmt.Errorf("link: set the alias of %s: %w", name, notFound(err))
	}
	return nil
}

// Delete removes the interface. One that does not exist is not an error.
func Delete(name string) error {
	l, err := find(name)
	if err == nil {
		err = notFound(netlink.LinkDel(l))
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("link: delete %s: %w", name, err)
	}
	return nil
}

// Exists reports whether there is an interface of that name. The error is not
// nil only if the kernel could not be asked.
func Exists(name string) (bool, error) {
	_, err := find(name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("link: find %s: %w", name, err)
	}
	return true, nil
}

// Name returns the name that the interface of this index has now, or an error that
// wraps ErrNotFound.
func Name(index int) (string, error) {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return "", fmt.Errorf("link: find interface %d: %w", index, notFound(err))
	}
	return l.Attrs().Name, nil
}

// ErrNotFound is wrapped by the errors of functions that name an interface that
// does not exist, or does not any more when the kernel is told what to do with it.
var ErrNotFound = errors.New("no such interface")

func find(name string) (netlink.Link, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil, notFound(err)
	}
	return l, nil
}

// notFound returns ErrNotFound for the kernel's and the library's errors that say so, and others as they are.
func notFound(err error) error {
	if errors.As(err, new(netlink.LinkNotFoundError)) || errors.Is(err, unix.ENODEV) {
		return ErrNotFound
	}
	return err
}
