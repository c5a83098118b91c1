package link

import (
	"errors"
	"net/netip"
)

// Prepare sets the sysctls of our own tunnel interface. Call it before SetUp.
func Prepare(name string) error { return errors.ErrUnsupported }

// SetUp sets the MTU (bytes; 0: leave it) and takes the interface up.
func SetUp(name string, mtu int) error { return errors.ErrUnsupported }

// SetDown takes the interface down.
func SetDown(name string) error { return errors.ErrUnsupported }

// SetAddresses makes the interface's addresses equal to want.
func SetAddresses(name string, want []netip.Prefix) error { return errors.ErrUnsupported }

// SetAlias sets the interface's alias, by which RemoveStale knows it.
func SetAlias(name, alias string) error { return errors.ErrUnsupported }

// Delete removes the interface; one that does not exist is not an error.
func Delete(name string) error { return errors.ErrUnsupported }

// Exists reports whether the interface exists.
func Exists(name string) (bool, error) { return false, errors.ErrUnsupported }

// Index returns the interface's index.
func Index(name string) (int, error) { return 0, errors.ErrUnsupported }

// RemoveStale removes the persistent TUN devices for which isOurs is true, and
// returns their names.
func RemoveStale(isOurs func(name, alias string) bool) ([]string, error) {
	return nil, errors.ErrUnsupported
}
