package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const ipLen, udpLen = 20, 8

// raw sends IPv4 packets with whatever header.
type raw struct{ fd int }

func newRaw() (raw, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return raw{}, fmt.Errorf("raw socket: %w", err)
	}
	return raw{fd}, nil
}

func (r raw) close() { unix.Close(r.fd) }

func (r raw) send(packet []byte) error {
	return unix.Sendto(r.fd, packet, 0, &unix.SockaddrInet4{Addr: [4]byte(packet[16:20])})
}

// fragmentBits of the IPv4 header's third word.
const moreFragments = 1 << 13

// ipPacket makes an IPv4 packet. The kernel fills in the checksum and, where it is 0,
// the identification (raw(7)).
func ipPacket(from, to netip.Addr, proto byte, id, fragment uint16, payload []byte) []byte {
	b := make([]byte, ipLen, ipLen+len(payload))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(ipLen+len(payload)))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], fragment)
	src, dst := from.As4(), to.As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	return append(b, payload...)
}

// udpPacket makes an IPv4 packet with a datagram. It has no checksum, which IPv4 allows.
func udpPacket(from, to netip.AddrPort, data []byte) []byte {
	b := make([]byte, udpLen, udpLen+len(data))
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(udpLen+len(data)))
	return ipPacket(from.Addr(), to.Addr(), unix.IPPROTO_UDP, 0, 0, append(b, data...))
}

// icmpPacket makes an error about a packet (RFC 792); rest is the header's second word.
func icmpPacket(from, to netip.Addr, typ, code byte, rest uint32, about []byte) []byte {
	b := []byte{typ, code, 0, 0}
	b = binary.BigEndian.AppendUint32(b, rest)
	b = append(b, about...)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return ipPacket(from, to, unix.IPPROTO_ICMP, 0, 0, b)
}

// checksum is RFC 1071's.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
