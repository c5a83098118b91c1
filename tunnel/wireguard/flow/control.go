package flow

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// putControl writes the head of a control message with n bytes of data (cmsg(3)), and
// returns the place for the data and the length of it all.
func putControl(oob []byte, level, typ int32, n int) (data []byte, space int) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(n))
	data = oob[unix.CmsgLen(0):unix.CmsgLen(n)]
	clear(data)
	return data, unix.CmsgSpace(n)
}

// putSegmentSize has the kernel cut a send (udp(7)).
func putSegmentSize(oob []byte, size int) int {
	data, space := putControl(oob, unix.SOL_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(data, uint16(size))
	return space
}

// putSource chooses the source address of a send (ip(7), ipv6(7)). The way out is still
// what the routes say.
func putSource(oob []byte, from netip.Addr) int {
	if from.Is4() {
		data, space := putControl(oob, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		a := from.As4()
		copy(data[4:8], a[:]) // ipi_spec_dst
		return space
	}
	data, space := putControl(oob, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	a := from.As16()
	copy(data, a[:])
	return space
}

// parseControl returns the size that the kernel says of n bytes of joined datagrams, or
// n, and the address of ours that they were sent to.
func parseControl(oob []byte, n int) (size int, local netip.Addr) {
	size = n
	for len(oob) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		switch {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			if s := int(int32(binary.NativeEndian.Uint32(data))); s > 0 {
				size = s
			}
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			local = netip.AddrFrom4([4]byte(data[4:8]))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			local = netip.AddrFrom16([16]byte(data[:16]))
		}
		oob = rest
	}
	return size, local
}
