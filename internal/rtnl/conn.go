package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// requestTimeout bounds the wait for an answer. The kernel answers before
	// sendto returns, so it only matters if the answer was lost.
	requestTimeout = 10 * time.Second

	// requestBuffer has room for the answers to a batch that fails as a whole; the
	// kernel charges about 1 KiB for each.
	requestBuffer = 4 << 20

	// datagramSize is more than the kernel puts in one datagram of a dump.
	datagramSize = 64 << 10
)

// ErrLost says that the kernel dropped messages to us: what they would have
// said has to be found out by a dump.
var ErrLost = errors.New("the kernel dropped messages")

// Conn is a request socket: one request at a time, its answers read before
// the next. Not safe for concurrent use.
type Conn struct {
	fd    int
	port  uint32 // the socket's netlink address
	seq   uint32 // of the last message
	buf   []byte // for receiving
	batch Batch  // kept for its capacity
}

// Dial opens a request socket in the network namespace of the calling thread.
func Dial() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	c := &Conn{fd: fd, buf: make([]byte, datagramSize)}
	if err := c.setUp(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) setUp() error {
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

// Close closes the socket.
func (c *Conn) Close() { _ = unix.Close(c.fd) }

// Port returns the socket's netlink address, which events caused by its requests name.
func (c *Conn) Port() uint32 { return c.port }

// Answer is the kernel's error to one message.
type Answer struct {
	Errno syscall.Errno
	Text  string // of the extended acknowledgement, often empty
}

// Batch is a number of messages that go to the kernel in one send.
type Batch struct {
	conn  *Conn
	bytes []byte
	first uint32 // number of the first message
	last  int    // where the last one begins
	count int
}

// Batch begins a batch. It is good until the next one of c begins.
func (c *Conn) Batch() *Batch {
	c.batch = Batch{conn: c, bytes: c.batch.bytes[:0], first: c.seq + 1}
	return &c.batch
}

// Len returns how many messages the batch holds.
func (b *Batch) Len() int { return b.count }

func (b *Batch) next() uint32 {
	b.conn.seq++
	b.count++
	b.last = len(b.bytes)
	return b.conn.seq
}

// Route adds an RTM_NEWROUTE or RTM_DELROUTE.
func (b *Batch) Route(typ, flags uint16, r Route) {
	seq := b.next()
	b.bytes = AppendRoute(b.bytes, typ, flags, seq, r)
}

// Raw adds a message of any type. A body begins behind the header.
func (b *Batch) Raw(typ, flags uint16, body []byte) {
	seq := b.next()
	start := len(b.bytes)
	b.bytes = appendHeader(b.bytes, typ, flags, seq, 0)
	b.bytes = finish(append(b.bytes, body...), start)
}

// NextHop adds an RTM_NEWNEXTHOP or RTM_DELNEXTHOP.
func (b *Batch) NextHop(typ, flags uint16, n NextHop) {
	seq := b.next()
	b.bytes = AppendNextHop(b.bytes, typ, flags, seq, n)
}

// Send sends the batch, and calls failed with the position of each message that fails.
// An error means that the batch could not be sent, or that its answers were lost.
func (b *Batch) Send(failed func(i int, a Answer)) error {
	if b.count == 0 {
		return nil
	}
	// The answer to the last one comes in any case, and says that all is done.
	flags := binary.NativeEndian.Uint16(b.bytes[b.last+6:])
	binary.NativeEndian.PutUint16(b.bytes[b.last+6:], flags|unix.NLM_F_ACK)
	c := b.conn
	last := b.first + uint32(b.count) - 1
	if err := unix.Sendto(c.fd, b.bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to the kernel: %w", err)
	}
	for {
		received, err := c.receive()
		if err != nil {
			return err
		}
		for h, payload := range Messages(received) {
			// Answers to a request that was given up have older numbers.
			if h.Type != unix.NLMSG_ERROR || h.Seq-b.first > last-b.first {
				continue
			}
			if a := parseAnswer(h, payload); a.Errno != 0 {
				failed(int(h.Seq-b.first), a)
			}
			if h.Seq == last {
				return nil
			}
		}
	}
}

// Dump sends one dump request and calls each with every message of the answer, which
// is valid during the call. interrupted tells that the kernel's tables changed
// meanwhile, so that messages may be missing.
func (c *Conn) Dump(typ uint16, body []byte, each func(typ uint16, payload []byte)) (interrupted bool, err error) {
	c.seq++
	req := appendHeader(make([]byte, 0, HeaderLen+len(body)), typ, unix.NLM_F_DUMP, c.seq, 0)
	req = finish(append(req, body...), 0)
	if err := unix.Sendto(c.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, fmt.Errorf("send to the kernel: %w", err)
	}
	for {
		b, err := c.receive()
		if err != nil {
			return false, err
		}
		for h, payload := range Messages(b) {
			if h.Seq != c.seq {
				continue
			}
			interrupted = interrupted || h.Flags&unix.NLM_F_DUMP_INTR != 0
			switch h.Type {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				if a := parseAnswer(h, payload); a.Errno != 0 {
					return false, a.Errno
				}
				return interrupted, nil
			default:
				each(h.Type, payload)
			}
		}
	}
}

// receive returns the next datagram, valid until the next call.
func (c *Conn) receive() ([]byte, error) {
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buf, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN):
			return nil, ErrLost
		case err != nil:
			return nil, fmt.Errorf("receive from the kernel: %w", err)
		case n > len(c.buf):
			return nil, ErrLost
		}
		return c.buf[:n], nil
	}
}

// parseAnswer reads struct nlmsgerr, which NETLINK_CAP_ACK cuts after the header
// it repeats, and the text of the extended acknowledgement behind it. A
// NLMSG_DONE has the error number alone.
func parseAnswer(h Header, b []byte) Answer {
	if len(b) < 4 {
		return Answer{}
	}
	a := Answer{Errno: syscall.Errno(-int32(binary.NativeEndian.Uint32(b)))}
	if h.Type == unix.NLMSG_ERROR && h.Flags&unix.NLM_F_ACK_TLVS != 0 && len(b) >= 4+HeaderLen {
		for typ, v := range Attributes(b[4+HeaderLen:]) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				a.Text = unix.ByteSliceToString(v)
			}
		}
	}
	return a
}

// setReceiveBuffer asks for size bytes, past the system's limit where we may.
func setReceiveBuffer(fd, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
}
