package rtnl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// eventBuffer has room for a burst of events of other programs; the kernel charges
// about 1 KiB for each.
const eventBuffer = 16 << 20

// Events is a subscription to the kernel's events. Drain may be called from any
// goroutine, one at a time.
type Events struct {
	file *os.File // not blocking, and known to the runtime's poller
	raw  syscall.RawConn
	buf  []byte
}

// Subscribe opens a socket for the events of groups (unix.RTNLGRP_LINK, …), but those that
// hidden names. A group that an older kernel does not know has no events.
func Subscribe(hidden Hidden, groups ...int) (*Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	e := &Events{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, datagramSize)}
	if err := e.setUp(fd, hidden, groups); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Events) setUp(fd int, hidden Hidden, groups []int) (err error) {
	setReceiveBuffer(fd, eventBuffer)
	prog := hidden.filter()
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
	if err != nil {
		return fmt.Errorf("attach a socket filter: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind a netlink socket: %w", err)
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("subscribe to group %d of the kernel's events: %w", group, err)
		}
	}
	e.raw, err = e.file.SyscallConn()
	return err
}

// SetReceiveBuffer changes how many bytes may wait, from the 16 MiB that Subscribe asks for.
func (e *Events) SetReceiveBuffer(size int) error {
	var err error
	controlErr := e.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	})
	return errors.Join(controlErr, err)
}

// Close ends the subscription.
func (e *Events) Close() { _ = e.file.Close() }

// Follow calls drain each time that events wait, until ctx is done; it returns nil
// then. drain calls [Events.Drain], and returns what it returned.
func (e *Events) Follow(ctx context.Context, drain func() (datagrams int, err error)) error {
	stop := context.AfterFunc(ctx, func() {
		_ = e.file.SetReadDeadline(time.Unix(1, 0)) // ends the read below
	})
	defer stop()
	for {
		var err error
		waitErr := e.raw.Read(func(uintptr) bool {
			var n int
			n, err = drain()
			return n > 0 || err != nil
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case waitErr != nil:
			return fmt.Errorf("wait for the kernel's events: %w", waitErr)
		}
	}
}

// Drain calls each with every message that waits, valid during the call, and returns how many
// datagrams there were. ErrLost tells that some were dropped, before those or among them: what
// they said has to be found out after Drain has returned, not before. A socket that has
// lost messages gets no more, and no error for these either, until it has been read to its end
// (net/netlink/af_netlink.c, netlink_overrun and netlink_rcv_wake), so Drain reads on.
func (e *Events) Drain(each func(h Header, payload []byte)) (n int, err error) {
	controlErr := e.raw.Control(func(fd uintptr) { n, err = e.drain(int(fd), each) })
	return n, errors.Join(controlErr, err)
}

func (e *Events) drain(fd int, each func(h Header, payload []byte)) (n int, err error) {
	lost := false
	for ; ; n++ {
		size, from, err := unix.Recvfrom(fd, e.buf, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && lost:
			return n, ErrLost
		case errors.Is(err, unix.EAGAIN):
			return n, nil
		case errors.Is(err, unix.ENOBUFS), err == nil && size > len(e.buf):
			lost = true
			continue
		case err != nil:
			return n, fmt.Errorf("receive the kernel's events: %w", err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // not from the kernel
		}
		for h, payload := range Messages(e.buf[:size]) {
			each(h, payload)
		}
	}
}
