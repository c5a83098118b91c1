package sysio

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNoInterface is that no interface has the name now.
var ErrNoInterface = errors.New("there is no such interface (yet)")

// InterfaceIndex returns the index that the interface of an underlay has now, in the network
// namespace of the calling thread. The error wraps ErrNoInterface if there is none of that name; any
// other says that it cannot be told.
func InterfaceIndex(name string) (int, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("underlay %q is no name of an interface", name)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	// Package net would list all interfaces for that.
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); errors.Is(err, unix.ENODEV) {
		return 0, fmt.Errorf("underlay %s: %w", name, ErrNoInterface)
	} else if err != nil {
		return 0, fmt.Errorf("underlay %s: %w", name, err)
	}
	return int(ifr.Uint32()), nil
}
