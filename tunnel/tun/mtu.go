package tun

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SetMTU changes the interface's MTU, in bytes: the kernel then makes no larger packets for
// it, has TCP offer no more, and tells senders of larger packets by ICMP. Less than 1280
// takes IPv6 from the interface. What [Device.MTU] returns stays. An interface that has
// another name or is in another namespace is left as it is, which is an error.
func (d *Device) SetMTU(mtu int) error {
	d.setting.Lock()
	defer d.setting.Unlock()
	return d.control("set the MTU", func(fd int) error {
		name, err := queueName(fd)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq(d.name)
		if err != nil {
			return err
		}
		// What has the name where the interface was made may be another one by now.
		err = unix.IoctlIfreq(d.inet, unix.SIOCGIFINDEX, req)
		if errors.Is(err, unix.ENODEV) || name != d.name || int(req.Uint32()) != d.index {
			return ErrLost
		}
		if err != nil {
			return fmt.Errorf("SIOCGIFINDEX: %w", err)
		}
		req.SetUint32(uint32(mtu))
		if err := unix.IoctlIfreq(d.inet, unix.SIOCSIFMTU, req); err != nil {
			return fmt.Errorf("SIOCSIFMTU %d: %w", mtu, os.NewSyscallError("ioctl", err))
		}
		return nil
	})
}
