package ping

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Socket sends ICMP messages of the caller's to one address through one interface, of any length that the interface takes and never
// in fragments, and hands over the echo replies that come from there. It has a socket, and no goroutine.
type Socket struct {
	conn *net.IPConn
}

// OpenSocket opens the socket, as Open does.
func OpenSocket(ifname string, local, peer netip.Addr) (*Socket, error) {
	conn, err := dial(ifname, local, peer)
	if err != nil {
		return nil, err
	}
	if err = errors.Join(onlyReplies(conn, peer.Is6()), neverFragment(conn, peer.Is6())); err != nil {
		conn.Close()
		return nil, failed(peer, err)
	}
	return &Socket{conn: conn}, nil
}

// neverFragment has packets leave whole, whatever the kernel has heard of the path (ip(7), IP_PMTUDISC_PROBE).
func neverFragment(conn *net.IPConn, v6 bool) (err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		if v6 {
			set = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1))
		} else {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		}
	})
	return errors.Join(err, set)
}

// Send sends a message. The kernel makes the IP header, and ICMPv6's checksum.
func (s *Socket) Send(m []byte) error {
	_, err := s.conn.Write(m)
	return err
}

// Receive reads a reply, without its IP header, or as much of it as fits. The error is of no use once the socket is closed.
func (s *Socket) Receive(buf []byte) (n int, err error) {
	n, _, err = s.conn.ReadFrom(buf) // unlike Read, this leaves out the IPv4 header
	return n, err
}

// Close ends a Receive too. It may be called more than once.
func (s *Socket) Close() { s.conn.Close() }

// onlyReplies has the kernel hand over echo replies and nothing else.
func onlyReplies(conn *net.IPConn, v6 bool) error {
	if v6 {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		return ipv6.NewPacketConn(conn).SetICMPFilter(&f)
	}
	var f ipv4.ICMPFilter
	f.SetAll(true)
	f.Accept(ipv4.ICMPTypeEchoReply)
	return ipv4.NewPacketConn(conn).SetICMPFilter(&f)
}
