package underlay

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Mark is the firewall mark (SO_MARK) of every socket of a transport, and
// MarkMask the bits of it that count. They stay clear of the bits that
// kube-proxy (0x4000, 0x8000), Tailscale and Calico (0xffff0000) and Cilium
// (0x0f00) give a meaning to, so that a packet that also carries one of those
// is still known as a transport's.
const (
	Mark     = 0x2057
	MarkMask = 0x30ff
)

// Control returns a function for net.Dialer.Control and
// net.ListenConfig.Control that marks the socket as a transport's and, if
// device is not empty, binds it to that interface. A listener passes its mark
// on to the connections it accepts, so it has to be marked too.
//
// It needs CAP_NET_ADMIN for the mark, and CAP_NET_RAW where the kernel asks
// for it for binding; the error says so.
func Control(device string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var opErr error
		err := c.Control(func(fd uintptr) {
			opErr = mark(int(fd), device)
		})
		return errors.Join(err, opErr)
	}
}

func mark(fd int, device string) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, Mark); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("underlay: mark socket: %w: warren needs CAP_NET_ADMIN", err)
		}
		return fmt.Errorf("underlay: mark socket: %w", err)
	}
	if device == "" {
		return nil
	}
	switch err := unix.BindToDevice(fd, device); {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("underlay: bind socket to interface %s: %w: warren needs CAP_NET_RAW", device, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("underlay: bind socket to interface %s: there is no such interface", device)
	case err != nil:
		return fmt.Errorf("underlay: bind socket to interface %s: %w", device, err)
	}
	return nil
}
