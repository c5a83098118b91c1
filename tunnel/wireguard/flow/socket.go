package flow

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
)

// Bounds of one send with UDP_SEGMENT (include/linux/udp.h, UDP_MAX_SEGMENTS, and the
// longest payload of an IPv4 datagram).
const (
	maxSegments = 64
	MaxDatagram = 65535 - 20 - 8
)

// What the kernel may keep for us, in bytes. The default for what was received is less than one flow has in flight,
// and what does not fit is lost: this is what four flows have whose receivers keep the default of
// net.ipv4.tcp_rmem. What is sent waits in it for the line of its interface, in which a queue that counts packets
// takes one of 64 KB for one, and each waits for all of those before it, other tunnels' too.
const (
	receiveBuffer = 16 << 20
	sendBuffer    = 2 << 20
)

// maxLate bounds the messages of our own that wait for room in a socket, each in a goroutine.
const maxLate = 256

// Socket is one UDP socket of one family. Sending is safe for concurrent use.
type Socket struct {
	conn  *net.UDPConn
	raw   syscall.RawConn // of conn
	state *sysio.State    // of conn, for other goroutines than the reader
	whole refusals        // where UDP_SEGMENT does not work
	late  atomic.Int32    // messages of our own that wait for room
}

// NewSocket returns the Socket of a connection that [Prepare] has seen. It is closed with
// [Socket.Close].
func NewSocket(c *net.UDPConn) *Socket {
	raw, _ := c.SyscallConn() // the only error is for no connection at all
	return &Socket{conn: c, raw: raw, state: sysio.NewState(raw, sysio.Received)}
}

// Descriptor returns the connection's, which stays the Socket's.
func (s *Socket) Descriptor() (fd int, err error) {
	err = s.raw.Control(func(f uintptr) { fd = int(f) })
	return fd, err
}

// Close closes the connection, which ends the receiving.
func (s *Socket) Close() { s.conn.Close() }

// Prepare sets the options that make a socket fast, as far as the kernel has them, has
// it tell where datagrams were sent to and with which traffic class, and lets them be fragmented on their way: the
// tunnel's MTU is for the operator to choose. On IPv4 the routers do that, so that the ICMP errors which say how small to
// fragment are not believed: anybody can forge them, and have each packet cut in three.
// On IPv6 only the sender fragments and must believe them, though not below 1280.
func Prepare(network string, c syscall.RawConn) error {
	return c.Control(func(f uintptr) {
		fd := int(f)
		for _, o := range []struct{ force, ask, bytes int }{
			{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer},
		} {
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, o.bytes) != nil {
				_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.ask, o.bytes)
			}
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
		if network == "udp4" {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
		} else {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
		}
	})
}

// Send sends a burst. Its messages leave with the source address from if it is valid, else with
// that of the route.
func (s *Socket) Send(b *Burst, to netip.AddrPort, from netip.Addr) error {
	switch {
	case b.own:
		return s.sendOwn(b, to, from)
	case b.count == 1:
		return s.sendmsg(b.parts, 0, b.class, to, from, true)
	}
	return s.whole.send(b, to, func(parts [][]byte, size int) error {
		return s.sendmsg(parts, size, b.class, to, from, true)
	})
}

// sendOwn sends a [Single], and does not wait for room: the caller serves other messages, or decides whether peers are
// alive, and what fills the socket may be on its way to another peer. The message waits by itself.
func (s *Socket) sendOwn(b *Burst, to netip.AddrPort, from netip.Addr) error {
	err := s.sendmsg(b.parts, 0, b.class, to, from, false)
	if !errors.Is(err, unix.EAGAIN) {
		return err
	}
	if s.late.Add(1) > maxLate {
		s.late.Add(-1)
		return err
	}
	msg := bytes.Clone(b.parts[0])
	go func() { // which ends with the socket
		defer s.late.Add(-1)
		_ = s.sendmsg([][]byte{msg}, 0, b.class, to, from, true)
	}()
	return nil
}
