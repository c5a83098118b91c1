package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutObjects replaces this process by a command for which the kernel has no next-hop
// objects (Linux before 5.3): requests about them fail. Where such a kernel answers
// EOPNOTSUPP, here sendto(2) fails with it, by which Warren makes its requests; others, such
// as ip(8), use sendmsg(2). A filter cannot read a request, so a second
// process does, which ends with the last one that the filter is on. Routes that others
// make by objects are shown as ever.
func withoutObjects(argv []string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	far := os.NewFile(uintptr(pair[1]), "filter")
	judge := exec.Command("/proc/self/exe", "judge-next-hop-objects")
	judge.ExtraFiles = []*os.File{far}
	if err := judge.Start(); err != nil {
		return fmt.Errorf("start the process that reads requests: %w", err)
	}
	return execFiltered(argv, func() error {
		listener, err := setFilter(netlinkSends(), unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
		if err != nil {
			return err
		}
		return unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(listener), nil, 0)
	})
}

// netlinkSends has a listener decide on each sendto(2) whose address is as long as a
// netlink socket's.
func netlinkSends() []unix.SockFilter {
	const number, lastArgument = 0, 16 + 5*8 // offsets in struct seccomp_data
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SENDTO, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: lastArgument},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SizeofSockaddrNetlink, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
}

// Of include/uapi/linux/seccomp.h.
type (
	notification struct { // struct seccomp_notif
		id        uint64
		pid, _    uint32
		number    int32
		_         uint32
		_         uint64
		arguments [6]uint64
	}
	decision struct { // struct seccomp_notif_resp
		id    uint64
		value int64
		errno int32
		flags uint32
	}
)

// judgeObjects decides for withoutObjects, until the processes with the filter have ended.
func judgeObjects(from int) error {
	listener, err := receiveDescriptor(from)
	if err != nil {
		return fmt.Errorf("receive the listener: %w", err)
	}
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("poll: %w", err)
		}
		switch {
		case poll[0].Revents&unix.POLLIN != 0:
			if err := judgeOne(listener); err != nil {
				return err
			}
		case poll[0].Revents != 0:
			return nil
		}
	}
}

func judgeOne(listener int) error {
	var n notification
	errno := control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
	if errno == unix.ENOENT || errno == unix.EINTR {
		return nil // a signal has taken the thread out of the call, or it has ended
	}
	if errno != 0 {
		return fmt.Errorf("receive a notification: %w", errno)
	}
	d := decision{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if isAboutObjects(int(n.pid), uintptr(n.arguments[1])) {
		d.flags, d.errno = 0, -int32(unix.EOPNOTSUPP)
	}
	if errno := control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&d)); errno != 0 && errno != unix.ENOENT {
		return fmt.Errorf("answer a notification: %w", errno)
	}
	return nil
}

// isAboutObjects looks at the type of the first netlink message at an address of a process.
func isAboutObjects(pid int, message uintptr) bool {
	const typeAt = 4 // in struct nlmsghdr
	var b [2]byte
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: message + typeAt, Len: len(b)}}, 0)
	if err != nil || n != len(b) {
		return false
	}
	switch binary.NativeEndian.Uint16(b[:]) {
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP, unix.RTM_GETNEXTHOP:
		return true
	}
	return false
}

func receiveDescriptor(from int) (int, error) {
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(from, make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(errors.New(strconv.Itoa(len(messages))+" control messages"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(errors.New(strconv.Itoa(len(fds))+" descriptors"), err)
	}
	return fds[0], nil
}

func control(fd int, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return errno
}
