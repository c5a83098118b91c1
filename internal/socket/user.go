package socket

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// userOf tells which user is at the other end of a connection from this machine.
func userOf(c net.Conn) user {
	switch c := c.(type) {
	case *net.UnixConn:
		return userOfUnix(c)
	case *net.TCPConn:
		remote, okR := c.RemoteAddr().(*net.TCPAddr)
		local, okL := c.LocalAddr().(*net.TCPAddr)
		if !okR || !okL {
			return unknown
		}
		return userOfTCP(remote.AddrPort(), local.AddrPort())
	}
	return unknown
}

func userOfUnix(c *net.UnixConn) user {
	raw, err := c.SyscallConn()
	if err != nil {
		return unknown
	}
	found := unknown
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			found = user(cred.Uid)
		}
	})
	return found
}

// Offsets and sizes of struct inet_diag_req_v2 and struct inet_diag_msg, and of the struct inet_diag_sockid that
// both have (include/uapi/linux/inet_diag.h).
const (
	diagRequestLen  = 56
	diagIDAt        = 8 // in the request: ports, addresses, interface, cookie
	diagCookieAt    = diagIDAt + 40
	diagAnswerIDAt  = 4 // in the answer
	diagUIDAt       = 64
	diagINodeAt     = 68
	diagAnswerLen   = 72
	diagEstablished = 1 // TCP_ESTABLISHED
)

// userOfTCP asks the kernel which user has the socket with these two ends. A socket that its process
// has closed belongs to nobody, for which the kernel gives root.
//
// Where there is no such socket, as the client is on another machine, the kernel answers with one that listens
// on its port, whatever states were asked for (inet_lookup in net/ipv4/inet_diag.c). So only an answer with
// both ends counts.
func userOfTCP(its, remote netip.AddrPort) user {
	its, remote = unmap(its), unmap(remote)
	b := make([]byte, diagRequestLen)
	b[0] = unix.AF_INET6
	if its.Addr().Is4() {
		b[0] = unix.AF_INET
	}
	b[1] = unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], 1<<diagEstablished)
	binary.BigEndian.PutUint16(b[diagIDAt:], its.Port())
	binary.BigEndian.PutUint16(b[diagIDAt+2:], remote.Port())
	copy(b[diagIDAt+4:diagIDAt+20], its.Addr().AsSlice())
	copy(b[diagIDAt+20:diagIDAt+36], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint64(b[diagCookieAt:], 1<<64-1) // INET_DIAG_NOCOOKIE, twice

	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)
	req.AddRawData(b)
	answers, err := req.Execute(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY)
	if err != nil || len(answers) != 1 || len(answers[0]) < diagAnswerLen {
		return unknown
	}
	answer := answers[0]
	if local, far := diagEnds(answer); local != its || far != remote {
		return unknown
	}
	if binary.NativeEndian.Uint32(answer[diagINodeAt:]) == 0 {
		return unknown
	}
	return user(binary.NativeEndian.Uint32(answer[diagUIDAt:]))
}

// diagEnds returns the two ends of the socket that an answer is about, which has diagAnswerLen bytes at least. An IPv6
// socket that is connected over IPv4 has the mapped forms of the addresses, which are unmapped here.
func diagEnds(answer []byte) (local, remote netip.AddrPort) {
	id, length := answer[diagAnswerIDAt:], 4
	if answer[0] == unix.AF_INET6 {
		length = 16
	}
	end := func(port, address int) netip.AddrPort {
		a, _ := netip.AddrFromSlice(id[address : address+length])
		return unmap(netip.AddrPortFrom(a, binary.BigEndian.Uint16(id[port:])))
	}
	return end(0, 4), end(2, 20)
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
