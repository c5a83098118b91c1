package fib

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// requestTimeout bounds the wait for an answer. The kernel answers before
	// sendto returns, so it only matters if the answer was lost.
	requestTimeout = 10 * time.Second

	// A burst of events of other programs, or of answers to a batch that fails
	// as a whole, has to fit in; the kernel charges about 1 KiB for each.
	eventBuffer   = 16 << 20
	requestBuffer = 4 << 20

	// datagramSize is more than the kernel puts in one datagram of a dump.
	datagramSize = 64 << 10
)

// errLost says that the kernel dropped messages to us: what they would have
// said has to be found out by a dump.
var errLost = errors.New("the kernel dropped messages")

// conn is the request socket: one request at a time, its answers read before
// the next. Not safe for concurrent use.
type conn struct {
	fd    int
	port  uint32 // the socket's netlink address
	seq   uint32 // of the last message
	buf   []byte // for receiving
	batch []byte // for sending, kept for its capacity
}

func dial() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	c := &conn{fd: fd, buf: make([]byte, datagramSize)}
	if err := c.setUp(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) setUp() error {
	for _, opt := range []int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, opt, 1); err != nil {
			return fmt.Errorf("set netlink option %d: %w", opt, err)
		}
	}
	tv := unix.NsecToTimeval(requestTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return fmt.Errorf("set the receive timeout: %w", err)
	}
	setReceiveBuffer(c.fd, requestBuffer)
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind a netlink socket: %w", err)
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return fmt.Errorf("read a netlink socket's address: %w", err)
	}
	nl, ok := sa.(*unix.SockaddrNetlink)
	if !ok {
		return fmt.Errorf("a netlink socket has address %T", sa)
	}
	c.port = nl.Pid
	return nil
}

func (c *conn) close() { _ = unix.Close(c.fd) }

// answer is the kernel's error to one message.
type answer struct {
	errno syscall.Errno
	text  string // of extended acknowledgement, often empty
}

// send sends a batch of messages numbered from first to c.seq, of which the
// last asks for an acknowledgement, and calls failed for each that fails.
func (c *conn) send(batch []byte, first uint32, failed func(seq uint32, a answer)) error {
	last := c.seq
	if err := unix.Sendto(c.fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to the kernel: %w", err)
	}
	for {
		b, err := c.receive()
		if err != nil {
			return err
		}
		for h, payload := range messages(b) {
			// Answers to a request that was given up have older numbers.
			if h.typ != unix.NLMSG_ERROR || h.seq-first > last-first {
				continue
			}
			if a := parseAnswer(h, payload); a.errno != 0 {
				failed(h.seq, a)
			}
			if h.seq == last {
				return nil
			}
		}
	}
}

// dump sends one dump request and calls each with every message of the answer.
// interrupted tells that the kernel's tables changed meanwhile, so that
// messages may be missing.
func (c *conn) dump(typ uint16, body []byte, each func(typ uint16, payload []byte)) (interrupted bool, err error) {
	c.seq++
	req := make([]byte, headerLen, headerLen+len(body))
	binary.NativeEndian.PutUint32(req, uint32(headerLen+len(body)))
	binary.NativeEndian.PutUint16(req[4:], typ)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(req[8:], c.seq)
	req = append(req, body...)
	if err := unix.Sendto(c.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, fmt.Errorf("send to the kernel: %w", err)
	}
	for {
		b, err := c.receive()
		if err != nil {
			return false, err
		}
		for h, payload := range messages(b) {
			if h.seq != c.seq {
				continue
			}
			interrupted = interrupted || h.flags&unix.NLM_F_DUMP_INTR != 0
			switch h.typ {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				if a := parseAnswer(h, payload); a.errno != 0 {
					return false, a.errno
				}
				return interrupted, nil
			default:
				each(h.typ, payload)
			}
		}
	}
}

// receive returns the next datagram, valid until the next call.
func (c *conn) receive() ([]byte, error) {
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buf, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN):
			return nil, errLost
		case err != nil:
			return nil, fmt.Errorf("receive from the kernel: %w", err)
		case n > len(c.buf):
			return nil, errLost
		}
		return c.buf[:n], nil
	}
}

// parseAnswer reads struct nlmsgerr, which NETLINK_CAP_ACK cuts after the header
// it repeats, and the text of the extended acknowledgement behind it. A
// NLMSG_DONE has the error number alone.
func parseAnswer(h header, b []byte) answer {
	if len(b) < 4 {
		return answer{}
	}
	a := answer{errno: syscall.Errno(-int32(binary.NativeEndian.Uint32(b)))}
	if h.typ == unix.NLMSG_ERROR && h.flags&unix.NLM_F_ACK_TLVS != 0 && len(b) >= 4+headerLen {
		for typ, v := range attributes(b[4+headerLen:]) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				a.text = unix.ByteSliceToString(v)
			}
		}
	}
	return a
}

// events is the subscription. It is not blocking, and known to the runtime's
// poller through file.
type events struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
}

// subscribe opens a socket that hears of links, addresses and routes, except
// for what the socket with the netlink address port causes.
func subscribe(port uint32) (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	e := &events{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, datagramSize)}
	if err := e.setUp(fd, port); err != nil {
		_ = e.file.Close()
		return nil, err
	}
	return e, nil
}

func (e *events) setUp(fd int, port uint32) (err error) {
	setReceiveBuffer(fd, eventBuffer)
	if err := hide(fd, port); err != nil {
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

// hide drops messages whose nlmsg_pid is port: the kernel repeats there who
// made the request. The filter loads big-endian words (net/core/filter.c).
func hide(fd int, port uint32) error {
	port = binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, port))
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 12},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: port, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
}

// drain calls each with every message that waits, and returns how many
// datagrams there were. errLost tells that some were dropped; more may wait.
func (e *events) drain(fd uintptr, each func(h header, payload []byte)) (n int, err error) {
	for ; ; n++ {
		size, from, err := unix.Recvfrom(int(fd), e.buf, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return n, nil
		case errors.Is(err, unix.ENOBUFS), err == nil && size > len(e.buf):
			return n + 1, errLost
		case err != nil:
			return n, fmt.Errorf("receive the kernel's events: %w", err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // not from the kernel
		}
		for h, payload := range messages(e.buf[:size]) {
			each(h, payload)
		}
	}
}

// setReceiveBuffer asks for size bytes, past the system's limit where we may.
func setReceiveBuffer(fd, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
}
