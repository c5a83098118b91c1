package underlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of linux/inet_diag.h and linux/sock_diag.h.
const (
	sockDiagByFamily = 20
	diagRequestLen   = 56 // struct inet_diag_req_v2
	diagMessageLen   = 72 // struct inet_diag_msg
	diagMark         = 15 // INET_DIAG_MARK, which CAP_NET_ADMIN is shown
)

// isMarkedSocket asks the kernel whether the socket that packets of a flow come from has
// the transports' mark. No socket is no error, but no diagnosis in the kernel is.
func isMarkedSocket(f flow) (bool, error) {
	mark, err := socketMark(f)
	if !errors.Is(err, unix.ENOENT) {
		return mark&MarkMask == Mark && err == nil, err
	}
	if works := diagnosis(f.ipProto); !works {
		return false, errors.New("underlay: the kernel has no diagnosis of sockets")
	}
	return false, nil
}

// diagnosis reports whether the kernel finds a socket that is there: it says the same of
// one that is not there and of a protocol whose diagnosis was not built.
func diagnosis(ipProto uint8) bool {
	typ := unix.SOCK_STREAM
	if ipProto == unix.IPPROTO_UDP {
		typ = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback.As4()}); err != nil {
		return false
	}
	if ipProto == unix.IPPROTO_TCP {
		if err := unix.Listen(fd, 1); err != nil {
			return false
		}
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	own := netip.AddrPortFrom(loopback, uint16(sa.(*unix.SockaddrInet4).Port))
	_, err = socketMark(flow{ipProto: ipProto, src: own, dst: netip.AddrPortFrom(loopback, 9)})
	return err == nil
}

// socketMark returns the mark of the socket that packets of a flow come from. ENOENT is no
// such socket.
func socketMark(f flow) (uint32, error) {
	req := nl.NewNetlinkRequest(sockDiagByFamily, 0)
	req.AddRawData(diagRequest(f))
	msgs, err := req.Execute(unix.NETLINK_INET_DIAG, sockDiagByFamily)
	if err != nil {
		return 0, fmt.Errorf("underlay: look for the socket of %s: %w", f.src, err)
	}
	for _, m := range msgs {
		if mark, ok := markOf(m); ok {
			return mark, nil
		}
	}
	return 0, errors.New("underlay: the kernel does not show the marks of sockets")
}

// diagRequest asks for one socket. The kernel knows it from the other side if it is of UDP
// (net/ipv4/udp_diag.c, udp_dump_one).
func diagRequest(f flow) []byte {
	local, remote := f.src, f.dst
	if f.ipProto == unix.IPPROTO_UDP {
		local, remote = remote, local
	}
	b := make([]byte, diagRequestLen)
	b[0], b[1] = unix.AF_INET, f.ipProto
	if f.src.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(b[4:], ^uint32(0)) // all states
	binary.BigEndian.PutUint16(b[8:], local.Port())
	binary.BigEndian.PutUint16(b[10:], remote.Port())
	copy(b[12:28], local.Addr().AsSlice())
	copy(b[28:44], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint32(b[48:], ^uint32(0)) // no cookie
	binary.NativeEndian.PutUint32(b[52:], ^uint32(0))
	return b
}

func markOf(m []byte) (mark uint32, ok bool) {
	if len(m) < diagMessageLen {
		return 0, false
	}
	attrs, err := parseAttrs(m[diagMessageLen:])
	if v := find(attrs, diagMark); err == nil && len(v) >= 4 {
		return binary.NativeEndian.Uint32(v), true
	}
	return 0, false
}
