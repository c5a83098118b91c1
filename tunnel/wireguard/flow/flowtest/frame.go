package flowtest

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// UDP is an IPv4 UDP packet of n bytes, the last of which is mark, behind an empty header.
func UDP(n int, mark byte) []byte {
	f := make([]byte, tun.HeaderLen+n)
	p := f[tun.HeaderLen:]
	p[0], p[8], p[9], p[n-1] = 0x45, 64, 17, mark
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	return f
}

// TCP is what a kernel makes of a TCP flow over IPv4: payload from a sequence number on, to be
// cut to segments of 1360 bytes.
func TCP(seq uint32, payload int) []byte {
	f := make([]byte, tun.HeaderLen+40+payload)
	f[0], f[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4
	for off, v := range map[int]uint16{2: 40, 4: 1360, 6: 20, 8: 16} { // header, segment, checksum
		binary.LittleEndian.PutUint16(f[off:], v)
	}
	p := f[tun.HeaderLen:]
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint32(p[24:], seq)
	p[32], p[33] = 5<<4, 0x10 // 20 bytes, ACK
	return f
}
