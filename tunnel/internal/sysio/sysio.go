// Package sysio reads and writes descriptors that do not block, with a choice of
// how the runtime is told.
//
// Before an ordinary system call the runtime prepares for the call to take long,
// and wakes its monitor thread if that sleeps, as it does in an idle process: some
// 8 µs, on the way of a packet that comes out of the blue, in each of the four
// places where a ping passes. A call that cannot block needs none of that.
//
// But a goroutine that makes no ordinary call can't be preempted while the monitor
// sleeps. So only the first calls after a wait are made this way: see [Streak].
package sysio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Streak counts calls since the goroutine last waited.
type Streak int

// quickCalls is how many calls of a streak are quick; an interactive packet needs
// two or three.
const quickCalls = 4

// Quick reports whether the next call may be a quick one, and counts it.
func (s *Streak) Quick() bool {
	if *s >= quickCalls {
		return false
	}
	*s++
	return true
}

// Waited begins a new streak.
func (s *Streak) Waited() { *s = 0 }

// Read is read(2), restarted when interrupted.
func Read(fd int, p []byte, quick bool) (int, error) {
	if !quick || len(p) == 0 {
		for {
			n, err := unix.Read(fd, p)
			if err != unix.EINTR {
				return n, err
			}
		}
	}
	return raw(unix.SYS_READ, fd, p)
}

// Write is write(2), restarted when interrupted.
func Write(fd int, p []byte, quick bool) (int, error) {
	if !quick || len(p) == 0 {
		for {
			n, err := unix.Write(fd, p)
			if err != unix.EINTR {
				return n, err
			}
		}
	}
	return raw(unix.SYS_WRITE, fd, p)
}

// Readable asks, without waiting, whether a read would return something, be it an
// error. It is always a quick call.
func Readable(fd int) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return n != 0 && errno == 0 || errno != 0 && errno != unix.EINTR
}

func raw(call uintptr, fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		default:
			return -1, errno
		}
	}
}
