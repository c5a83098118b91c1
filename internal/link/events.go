package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// eventBuffer is large, but need not be: an event that is dropped still wakes
// the reader.
const eventBuffer = 1 << 20

// events is a subscription to the kernel's link, address and route events.
// Their contents are not looked at.
type events struct {
	file *os.File
	raw  syscall.RawConn
}

// subscribe leaves out route events of the owned protocols.
func subscribe(owned []int) (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	e := &events{file: os.NewFile(uintptr(fd), "netlink")}
	if err := e.setUp(fd, owned); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *events) setUp(fd int, owned []int) (err error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, eventBuffer)
	}
	prog := routeFilter(owned)
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
	if err != nil {
		return fmt.Errorf("attach a socket filter: %w", err)
	}
	sa := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK |
		unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE}
	if err := unix.Bind(fd, sa); err != nil {
		return fmt.Errorf("subscribe to the kernel's events: %w", err)
	}
	e.raw, err = e.file.SyscallConn()
	return err
}

// routeFilter is a socket filter that drops route messages whose rtm_protocol is
// one of owned. At most 255 of them fit in a jump.
func routeFilter(owned []int) []unix.SockFilter {
	const (
		typeAt     = 4                     // nlmsg_type
		protocolAt = unix.NLMSG_HDRLEN + 5 // rtm_protocol
		load16     = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		load8      = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal      = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret        = unix.BPF_RET | unix.BPF_K
		keep, drop = 0xffffffff, 0
	)
	prog := []unix.SockFilter{
		{Code: load16, K: typeAt},
		{Code: equal, K: bigEndian16(unix.RTM_NEWROUTE), Jt: 2},
		{Code: equal, K: bigEndian16(unix.RTM_DELROUTE), Jt: 1},
		{Code: ret, K: keep},
		{Code: load8, K: protocolAt},
	}
	for _, p := range owned {
		prog = append(prog, unix.SockFilter{Code: equal, K: uint32(p), Jf: 1}, unix.SockFilter{Code: ret, K: drop})
	}
	return append(prog, unix.SockFilter{Code: ret, K: keep})
}

// bigEndian16 is what a filter's load makes of v in the machine's byte order.
func bigEndian16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}

func (e *events) close() { _ = e.file.Close() }

// follow puts a value in dirty for each event, or for as many as there were
// since the last value was taken, until ctx is done.
func (e *events) follow(ctx context.Context, dirty chan<- struct{}) error {
	stop := context.AfterFunc(ctx, func() {
		_ = e.file.SetReadDeadline(time.Unix(1, 0)) // ends the read below
	})
	defer stop()
	for {
		var err error
		waitErr := e.raw.Read(func(fd uintptr) bool {
			var n int
			n, err = discard(int(fd))
			return n > 0 || err != nil
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("link: receive the kernel's events: %w", err)
		case waitErr != nil:
			return fmt.Errorf("link: wait for the kernel's events: %w", waitErr)
		}
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
}

// discard takes what waits from the socket, and returns how many messages that
// were. Lost ones count as one.
func discard(fd int) (n int, err error) {
	var b [1]byte
	for {
		_, _, err := unix.Recvfrom(fd, b[:], 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return n, nil
		case err != nil && !errors.Is(err, unix.ENOBUFS):
			return n, err
		default:
			n++
		}
	}
}
