// Package sysio reads and writes descriptors that do not block, without the
// runtime's preparations for a system call that takes long.
//
// Those preparations cost a packet's way twice. In an idle process they wake the
// runtime's monitor thread before the call, which takes some 8 µs in each of the
// four places where a ping passes. And under load the monitor takes the processor
// from a goroutine whose call lasts more than 20 µs, as writing 64 KiB to a TUN
// does, and the goroutine goes on in another thread.
//
// But while the monitor sleeps, a goroutine that makes no ordinary call is never
// preempted. So a few calls are ordinary ones: see [Pace].
package sysio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pace says which reads of a goroutine are ordinary ones: few enough not to
// matter, and more often than the monitor would preempt, which is after 10 ms.
type Pace uint

const ordinaryEvery = 64

// ordinary reports whether the next call is to be an ordinary one.
func (p *Pace) ordinary() bool {
	*p++
	return *p%ordinaryEvery == 0
}

// Read is read(2), restarted when interrupted.
func (p *Pace) Read(fd int, b []byte) (int, error) {
	if len(b) > 0 && !p.ordinary() {
		return raw(unix.SYS_READ, fd, unsafe.Pointer(&b[0]), len(b))
	}
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// Recvmsg is recvmsg(2) without flags, restarted when interrupted.
func (p *Pace) Recvmsg(fd int, h *unix.Msghdr) (int, error) {
	if !p.ordinary() {
		return raw(unix.SYS_RECVMSG, fd, unsafe.Pointer(h), 0)
	}
	for {
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(h)), 0)
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

// Write is write(2), restarted when interrupted. A goroutine that does nothing else
// must not rely on it alone: none of these calls is an ordinary one.
func Write(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return raw(unix.SYS_WRITE, fd, unsafe.Pointer(&b[0]), len(b))
}

// Sendmsg is sendmsg(2) without flags, restarted when interrupted. For its callers
// the same holds as for those of Write.
func Sendmsg(fd int, h *unix.Msghdr) (int, error) {
	return raw(unix.SYS_SENDMSG, fd, unsafe.Pointer(h), 0)
}

// Readable asks, without waiting, whether a read would return something, be it an
// error.
func Readable(fd int) bool { return polled(fd, unix.POLLIN) }

// Writable asks, without waiting, whether a write would take something, be it an error. For a TCP socket that is when
// less than half of TCP_NOTSENT_LOWAT is unsent (net/ipv4/tcp.c, tcp_stream_memory_free).
func Writable(fd int) bool { return polled(fd, unix.POLLOUT) }

func polled(fd int, events int16) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return errno == 0 && n != 0 || errno != 0 && errno != unix.EINTR
}

// Received asks the same of a UDP socket, and for data only. What poll(2) says there can be a
// datagram that was spoiled on its way, which the kernel notices only as it is received, and
// then waits for another (net/ipv4/udp.c, udp_poll). This looks at its checksum.
func Received(fd int) bool {
	var n int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCINQ, uintptr(unsafe.Pointer(&n)))
	return errno == 0 && n > 0
}

func raw(call uintptr, fd int, p unsafe.Pointer, last int) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(p), uintptr(last))
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
