package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A descriptor that this process has closed may live on for a moment in a process that is being started: from
// fork(2), which copies all of them, until execve(2) has closed those with O_CLOEXEC, which is after the one that
// forked goes on (fs/exec.c, begin_new_exec). The fork lock keeps most of them away, but not all: Go tries once, before
// the first process that it starts, with one that ends at once, and without the lock (syscall/exec_linux.go,
// doCheckClonePidfd). An interface lives as long as its last descriptor, so it may still be there when it was closed,
// and a queue may still be attached. Both are waited for.
const (
	lingersFor = time.Second
	lookEach   = 2 * time.Millisecond
	leastTries = 100 // however long this process stood still meanwhile: the other one may have, too
)

// errHeld is wrapped where another process is attached to an interface.
var errHeld = errors.New("in use by another process")

// whileHeld tries again, up to lingersFor and leastTries times at least, while try fails because something is attached to an interface.
func whileHeld(name string, log *slog.Logger, try func() error) error {
	err := try()
	if errors.Is(err, errHeld) {
		log.Debug("waiting for an interface that is still held", "interface", name)
	}
	began := time.Now()
	for tries := 0; errors.Is(err, errHeld) && (tries < leastTries || time.Since(began) < lingersFor); tries++ {
		time.Sleep(lookEach)
		err = try()
	}
	return err
}

// clearName makes sure that no interface has the name, and that one can be made. One that is held it waits for.
func clearName(name string, flags uint16, log *slog.Logger) error {
	return whileHeld(name, log, func() error { return tryClear(name, flags, log) })
}

// tryClear removes what a crash left behind under the name, or tries whether an interface can be made.
func tryClear(name string, flags uint16, log *slog.Logger) error {
	found, err := exists(name)
	if err != nil {
		return err
	}
	if !found {
		return probe(name, flags)
	}
	kind := driver(name)
	s, err := look(name)
	if found, gone := exists(name); gone != nil || !found {
		return errors.Join(gone, held(name)) // it went meanwhile
	}
	switch {
	case kind != "tun/tun":
		return fmt.Errorf("tun: %s is there already and is no TUN interface (%s): choose another name for the tunnel, or remove it", name, kind)
	case err != nil:
		return fmt.Errorf("tun: %w", err)
	case s.queues > 0: // not even touched: what attaches to it for a moment gets some of its packets
		return held(name)
	}
	if err := removePersistent(name, flags); err != nil {
		return err
	}
	if found, err = exists(name); err != nil {
		return err
	}
	if found {
		return held(name)
	}
	log.Info("removed an interface that was left behind", "interface", name)
	return nil
}

func held(name string) error { return fmt.Errorf("tun: %s is %w", name, errHeld) }

// probe makes an interface and drops it, so that what would fail fails here. It is made for a single queue, which this
// process has: nobody else can attach to it meanwhile. It must be gone afterwards, because one with several queues
// cannot be made under a name that one with a single queue has (EINVAL).
func probe(name string, flags uint16) error {
	syscall.ForkLock.RLock()
	fd, err := attach(name, flags&^unix.IFF_MULTI_QUEUE)
	if err == nil {
		err = unix.Close(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return err
	}
	if found, err := exists(name); err != nil || !found {
		return err
	}
	return held(name)
}

// attachAlone attaches the only queue to a persistent interface. While another is attached, an interface for several
// gives this one no offload header, and one for a single queue does not take it.
func attachAlone(name string, flags uint16, log *slog.Logger) (fd int, err error) {
	err = whileHeld(name, log, func() error {
		fd, err = attach(name, flags)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%w: %w", held(name), err)
		}
		if err != nil {
			return err
		}
		s, err := look(name)
		if err == nil && s.queues > 1 {
			err = held(name)
		}
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	return fd, err
}

// removePersistent takes the persistence from a TUN interface and lets it go,
// which removes it if nobody else holds it. If somebody does, all is as before.
func removePersistent(name string, flags uint16) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := attach(name, flags)
	if errors.Is(err, unix.EINVAL) { // made with, or without, several queues
		fd, err = attach(name, flags^unix.IFF_MULTI_QUEUE)
	}
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: %w", held(name), err)
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
