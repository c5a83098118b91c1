package flow

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/ecn"
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

// putClass chooses the traffic class of a send, by a socket of the address's family (ip(7), ipv6(7)).
// UDP takes the bits of ECN too, which TCP keeps to itself.
func putClass(oob []byte, class uint8, is4 bool) int {
	level, typ := int32(unix.IPPROTO_IPV6), int32(unix.IPV6_TCLASS)
	if is4 {
		level, typ = unix.IPPROTO_IP, unix.IP_TOS
	}
	data, space := putControl(oob, level, typ, 4)
	binary.NativeEndian.PutUint32(data, uint32(class))
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
// n, the address of ours that they were sent to, and what their outer packets say of congestion. Of
// joined datagrams the kernel says it of the first; since Linux 6.9, and in what distributions have of
// older ones by now, it joins none with another traffic class (net/ipv4/udp_offload.c,
// udp_gro_receive_segment).
func parseControl(oob []byte, n int) (size int, local netip.Addr, outer ecn.Codepoint) {
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
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1: // one byte, of which more may follow
			outer = ecn.Of(data[0])
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
			outer = ecn.Of(uint8(binary.NativeEndian.Uint32(data)))
		}
		oob = rest
	}
	return size, local, outer
}
