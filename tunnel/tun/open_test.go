package tun

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A device that is there and cannot be opened needs something else than one that is missing: EPERM is the device controller's
// (cgroups), EACCES that of the file's mode.
func TestOpenError(t *testing.T) {
	for err, want := range map[unix.Errno]string{
		unix.ENOENT: "tun: /dev/net/tun is missing: load the kernel's tun module, or let the container have the device",
		unix.ENODEV: "tun: /dev/net/tun is missing: load the kernel's tun module",
		unix.EPERM:  "tun: /dev/net/tun is there and is denied to this process: let the container have the device (--device /dev/net/tun), or the unit (DeviceAllow=/dev/net/tun rw): operation not permitted",
		unix.EACCES: "run as root, or let that user read and write it: permission denied",
		unix.EMFILE: "tun: open /dev/net/tun: too many open files",
	} {
		if got := openError(err); !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v", err, got)
		}
	}
}
