package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPacket bounds a packet, in bytes.
const maxPacket = 4 << 10

// sendTime bounds how long the other end may leave packets unread. It may be busy, or the machine.
const sendTime = time.Minute

// Packets sends and receives packets with a descriptor each or none. Send may be called from any
// goroutine, Receive from one at a time.
type Packets struct {
	conn *net.UnixConn
	mu   sync.Mutex // of Send
}

// NewPackets takes a socket of type SOCK_SEQPACKET over.
func NewPackets(f *os.File) (*Packets, error) {
	conn, err := unixConn(f)
	if err != nil {
		return nil, err
	}
	return &Packets{conn: conn}, nil
}

// unixConn takes a socket over; f is closed.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("wire: the descriptor is no unix socket")
	}
	return u, nil
}

// NewStream takes a socket of type SOCK_STREAM over.
func NewStream(f *os.File) (net.Conn, error) { return unixConn(f) }

// Close closes the socket.
func (p *Packets) Close() error { return p.conn.Close() }

// Send sends v, and the descriptor of with unless that is nil. with remains the caller's. It fails if
// the other end does not read.
func (p *Packets) Send(v any, with syscall.Conn) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn.SetWriteDeadline(time.Now().Add(sendTime))
	if with == nil {
		_, err = p.conn.Write(b)
		return unread(err)
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) {
		_, _, sendErr = p.conn.WriteMsgUnix(b, unix.UnixRights(int(fd)), nil)
	})
	return unread(errors.Join(err, sendErr))
}

// unread is the error of a write, in words if the other end does not read.
func unread(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wire: nothing was read for %v: %w", sendTime, err)
	}
	return err
}

// Receive receives into v. The file is the descriptor that came along, or nil; it is the
// caller's.
func (p *Packets) Receive(v any) (*os.File, error) {
	b, oob := make([]byte, maxPacket), make([]byte, unix.CmsgSpace(4*8))
	n, oobn, flags, _, err := p.conn.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	files, err := descriptors(oob[:oobn])
	if err == nil && (flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || len(files) > 1) {
		err = errors.New("wire: a packet that is too long")
	}
	if err == nil && n == 0 {
		err = net.ErrClosed // there are no empty packets
	}
	if err == nil {
		if err = json.Unmarshal(b[:n], v); err != nil {
			err = fmt.Errorf("wire: %w", err)
		}
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return nil, err
	}
	if len(files) == 0 {
		return nil, nil
	}
	return files[0], nil
}

// descriptors takes the descriptors out of control messages.
func descriptors(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // of another kind
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "socket"))
		}
	}
	return files, nil
}

// Pair makes a pair of connected sockets of a type, unix.SOCK_STREAM or unix.SOCK_SEQPACKET.
func Pair(typ int) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("wire: make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs"), nil
}
