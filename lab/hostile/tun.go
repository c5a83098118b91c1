package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// attackTUN attaches to a TUN interface as the user of a number, and makes it persistent.
// The device is opened before, as any user can by udev's default.
func attackTUN(name, user string) error {
	uid, err := strconv.Atoi(user)
	if err != nil {
		return fmt.Errorf("user %q is not a number", user)
	}
	device, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := become(uid); err != nil {
		return err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(int(device.Fd()), unix.TUNSETIFF, req); err != nil {
		return fmt.Errorf("attach to %s: %w", name, err)
	}
	if err := unix.IoctlSetInt(int(device.Fd()), unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("make %s persistent: %w", name, err)
	}
	fmt.Println("attached to", name)
	return nil
}

// become gives up root for the user of a number, who is in no other group.
func become(uid int) error {
	if uid == 0 {
		return nil
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("leave all groups: %w", err)
	}
	if err := syscall.Setresgid(uid, uid, uid); err != nil {
		return fmt.Errorf("become group %d: %w", uid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("become user %d: %w", uid, err)
	}
	return nil
}
