package tun

import (
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"
)

// clearName makes sure that no interface has the name, and that one can be made:
// it makes and drops one if there is none. That one is made for a single queue, which
// this process has, so that nobody else can attach to it meanwhile.
func clearName(name string, flags uint16, log *slog.Logger) error {
	found, err := exists(name)
	if err != nil {
		return err
	}
	if !found {
		fd, err := attach(name, flags&^unix.IFF_MULTI_QUEUE)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
	if kind := driver(name); kind != "tun/tun" {
		return fmt.Errorf("tun: %s is there already and is no TUN interface (%s): choose another name for the tunnel, or remove it", name, kind)
	}
	if err := removePersistent(name, flags); err != nil {
		return err
	}
	if found, err = exists(name); err != nil {
		return err
	}
	if found {
		return fmt.Errorf("tun: %s is in use by another process", name)
	}
	log.Info("removed an interface that was left behind", "interface", name)
	return nil
}

// removePersistent takes the persistence from a TUN interface and lets it go,
// which removes it if nobody else holds it. If somebody does, all is as before.
func removePersistent(name string, flags uint16) error {
	fd, err := attach(name, flags)
	if errors.Is(err, unix.EINVAL) { // made with, or without, several queues
		fd, err = attach(name, flags^unix.IFF_MULTI_QUEUE)
	}
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("tun: %s is in use by another process: %w", name, err)
	}
	if err != nil {
		return err
	}
	have, err := queueFlags(fd)
	if err == nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 0)
	}
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return fmt.Errorf("tun: remove %s: %w", name, err)
	}
	if have&unix.IFF_PERSIST == 0 {
		return nil
	}
	if found, err := exists(name); err != nil || !found {
		return err
	}
	if fd, err = attach(name, have&^unix.IFF_PERSIST); err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
}

// exists reports whether the calling thread's namespace has an interface name.
func exists(name string) (bool, error) {
	err := ifreq(name, nil, unix.SIOCGIFINDEX, nil)
	if errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("tun: look for %s: %w", name, err)
	}
	return true, nil
}

// driver names the kind of an interface: "tun/tun" for a TUN, "tun/tap" for a TAP
// (drivers/net/tun.c, tun_get_drvinfo).
func driver(name string) string {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "unknown"
	}
	defer unix.Close(sock)
	info, err := unix.IoctlGetEthtoolDrvinfo(sock, name)
	if err != nil {
		return "a kind without a driver"
	}
	return unix.ByteSliceToString(info.Driver[:]) + "/" + unix.ByteSliceToString(info.Bus_info[:])
}

// ifreq does one interface request in the calling thread's namespace; set fills
// in its argument and get takes its result, each may be nil.
func ifreq(name string, set func(*unix.Ifreq), request uint, get func(*unix.Ifreq)) error {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if set != nil {
		set(req)
	}
	if err := unix.IoctlIfreq(sock, request, req); err != nil {
		return err
	}
	if get != nil {
		get(req)
	}
	return nil
}
