package pathmtu

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/ipv4"
)

const (
	dontFragment        = 0x40 // in byte 6 of an IPv4 header (RFC 791)
	fragmentationNeeded = 4    // code of a destination unreachable message (RFC 792)
)

// TooLarge makes the ICMP error that tells the sender of an IPv4 packet which may not be
// fragmented how large it may be (RFC 1191, section 4). It comes as from where the packet was
// to go, as the way there is the tunnel. It returns nil for any other packet: IPv4 senders
// that allow fragments are not asked for less, and IPv6 ones take no less than Base.
func TooLarge(p []byte, mtu int) []byte {
	if len(p) < ipv4Len || p[0]>>4 != 4 || p[6]&dontFragment == 0 {
		return nil
	}
	headers := int(p[0]&15) * 4
	if headers < ipv4Len || len(p) < headers+icmpLen {
		return nil
	}
	m := make([]byte, icmpLen, icmpLen+headers+icmpLen)
	m[0], m[1] = byte(ipv4.ICMPTypeDestinationUnreachable), fragmentationNeeded
	binary.BigEndian.PutUint16(m[6:], uint16(mtu))
	m = append(m, p[:headers+icmpLen]...)
	binary.BigEndian.PutUint16(m[2:], checksum(m))
	e := Ends{Local: netip.AddrFrom4([4]byte(p[16:20])), Peer: netip.AddrFrom4([4]byte(p[12:16]))}
	return append(e.ipv4Header(len(m)), m...)
}

// checksum is the Internet's (RFC 1071), of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
