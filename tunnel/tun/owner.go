package tun

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"syscall"
	"unsafe"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// makeTries bounds how often an interface is made again because another process
// attached to it before it had an owner.
const makeTries = 20

// makeOwned makes a persistent interface that belongs to this process's user and
// group, to which no other process is attached, and lets go of it.
//
// An interface is made without an owner, which is set by the next system call. To one
// with several queues any user who can open /dev/net/tun may attach in between, and keeps
// what is attached. Such an interface is deleted, and the next one is made under a name
// that cannot be guessed, which it has until it is owned. The first one has the right name
// from the start, because udev applies an interface's settings by the name it is made with.
func makeOwned(name string, queues int, log *slog.Logger) error {
	made := name
	for range makeTries {
		s, err := makePersistent(made, queues > 1)
		if err != nil {
			return err
		}
		if problem := s.shared(1); problem != "" {
			log.Warn("another process attached to the tunnel's interface while it was made; making it again",
				"interface", name, "err", problem)
			if err := deleteLink(s.index); err != nil {
				return fmt.Errorf("tun: delete %s: %w", made, err)
			}
			made = secretName()
			continue
		}
		if made != name {
			if err := rename(made, name); err != nil {
				return errors.Join(fmt.Errorf("tun: name an interface %s: %w", name, err), deleteLink(s.index))
			}
		}
		return nil
	}
	return fmt.Errorf("tun: make %s: another process attaches to it as soon as it is there: "+
		"let only root open %s (mode 0600)", name, devicePath)
}

// makePersistent has water make the interface, and returns what the kernel had of it
// before water let go of it. Water opens its descriptor without O_CLOEXEC, hence the fork
// lock, and leaks it when it fails, hence clearName before, which fails at whatever would
// fail here.
func makePersistent(name string, multiQueue bool) (state, error) {
	uid, gid := owner()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	made, err := water.New(water.Config{
		DeviceType: water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{
			Name: name, Persist: true, MultiQueue: multiQueue,
			Permissions: &water.DevicePermissions{Owner: uint(uid), Group: uint(gid)},
		},
	})
	if err != nil {
		return state{}, fmt.Errorf("tun: make %s: %w", name, err)
	}
	s, err := look(name)
	if err := errors.Join(err, made.Close()); err != nil {
		return state{}, fmt.Errorf("tun: make %s: %w", name, err)
	}
	return s, nil
}

// owner is the user and the group that this process acts for. Besides processes with
// CAP_NET_ADMIN only theirs may attach to the interfaces.
func owner() (uid, gid int64) { return int64(os.Geteuid()), int64(os.Getegid()) }

// shared says how others can get at an interface to which this process has attached n
// queues, or could. It returns "" if they can't.
func (s state) shared(n int) string {
	uid, gid := owner()
	switch {
	case s.uid != uid || s.gid != gid:
		return fmt.Sprintf("the interface belongs to user %d and group %d", s.uid, s.gid)
	case s.queues > n: // 0 if it was made for one: then there is no other
		return fmt.Sprintf("%d queues are attached", s.queues)
	}
	return ""
}

// settle undoes what else a process could change that was attached for a moment before
// the interface had an owner.
func settle(fd int) error {
	for _, s := range []struct {
		what    string
		request uint
		value   int
	}{
		{"TUNSETVNETHDRSZ", unix.TUNSETVNETHDRSZ, HeaderLen},
		{"TUNSETSNDBUF", unix.TUNSETSNDBUF, math.MaxInt32},
		{"TUNSETSTEERINGEBPF", unix.TUNSETSTEERINGEBPF, -1}, // no program
		{"TUNSETFILTEREBPF", unix.TUNSETFILTEREBPF, -1},
	} {
		if err := setInt(fd, s.request, s.value); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// setInt is unix.IoctlSetPointerInt for any int32.
func setInt(fd int, request uint, value int) error {
	v := int32(value)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return errno
	}
	return nil
}

// secretName is a name that nobody can guess, for an interface that has no owner yet.
func secretName() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return "tun" + hex.EncodeToString(b[:])
}
