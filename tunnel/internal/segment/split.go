package segment

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// struct virtio_net_hdr: u8 flags, u8 gso_type, u16 hdr_len, gso_size, csum_start,
// csum_offset, little endian.
const (
	offFlags, offGSOType, offHdrLen        = 0, 1, 2
	offGSOSize, offCsumStart, offCsumOffst = 4, 6, 8
)

// Bits of the TCP flags.
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpCWR = 0x80
)

// Splitter makes the packets of one frame.
type Splitter struct {
	packet  []byte
	typ     byte // of the frame, if it is cut
	gso     bool
	udp     bool
	sum     bool // the checksum is to be completed
	start   int  // of the transport header
	sumAt   int  // of its checksum
	headers int  // length of all headers, of a frame that is cut
	size    int  // of each payload but the last
	at      int  // in the payload
	index   int
}

// Parse looks at a frame. An error means that it is not one that
// [tun.CheckLocal] lets pass. The frame's header may be rewritten, and its packet is read until the last
// call of Next.
func Parse(frame []byte) (Splitter, error) {
	if err := tun.CheckLocal(frame); err != nil {
		return Splitter{}, fmt.Errorf("segment: %w", err)
	}
	get := func(off int) int { return int(binary.LittleEndian.Uint16(frame[off:])) }
	s := Splitter{packet: frame[tun.HeaderLen:], sum: frame[offFlags]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0}
	s.start = get(offCsumStart)
	s.sumAt = s.start + get(offCsumOffst)
	if typ := frame[offGSOType]; typ != unix.VIRTIO_NET_HDR_GSO_NONE {
		s.typ, s.gso, s.udp = typ, true, typ == unix.VIRTIO_NET_HDR_GSO_UDP_L4
		s.headers, s.size = get(offHdrLen), get(offGSOSize)
	}
	return s, nil
}

// Packet returns the frame's packet, as it was before it was cut.
func (s *Splitter) Packet() []byte { return s.packet }

// Count returns how many packets the frame makes, at least one.
func (s *Splitter) Count() int {
	if !s.gso {
		return 1
	}
	return max(1, (len(s.packet)-s.headers+s.size-1)/s.size)
}

// Longest returns the length of the longest of the packets.
func (s *Splitter) Longest() int {
	if !s.gso {
		return len(s.packet)
	}
	return min(len(s.packet), s.headers+s.size)
}

// errRoom is a mistake of the caller.
var errRoom = errors.New("segment: no room for the packet")

// Next writes the next packet to dst and returns its length; 0 after the last. It
// panics if dst is shorter than Longest.
func (s *Splitter) Next(dst []byte) int {
	if s.index == s.Count() {
		return 0
	}
	if len(dst) < s.Longest() {
		panic(errRoom)
	}
	s.index++
	if !s.gso {
		n := copy(dst, s.packet)
		if s.sum {
			s.complete(dst[:n])
		}
		return n
	}
	payload := s.packet[s.headers+s.at:]
	payload = payload[:min(len(payload), s.size)]
	copy(dst, s.packet[:s.headers])
	n := s.headers + copy(dst[s.headers:], payload)
	p := dst[:n]
	s.lengths(p)
	protocol := byte(unix.IPPROTO_TCP)
	if s.udp {
		protocol = unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(p[s.start+4:], uint16(n-s.start))
	} else {
		s.tcp(p[s.start:], s.index == s.Count())
	}
	p[s.sumAt], p[s.sumAt+1] = 0, 0
	s.putSum(p, sum(p[s.start:], pseudo(p, protocol, n-s.start)))
	s.at += len(payload)
	return n
}

// complete finishes a checksum that the kernel began: the sum of the pseudo-header
// is in its place already.
func (s *Splitter) complete(p []byte) {
	s.udp = s.sumAt-s.start == 6
	s.putSum(p, sum(p[s.start:], 0))
}

func (s *Splitter) putSum(p []byte, total uint64) {
	c := ^fold(total)
	if s.udp && c == 0 {
		c = 0xffff // 0 says that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(p[s.sumAt:], c)
}

// lengths completes the IP header of a packet of a frame that is cut.
func (s *Splitter) lengths(p []byte) {
	if p[0]>>4 == 6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		return
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	id := binary.BigEndian.Uint16(s.packet[4:])
	binary.BigEndian.PutUint16(p[4:], id+uint16(s.index-1))
	putIPv4Sum(p[:int(p[0]&15)*4])
}

// tcp completes a TCP header: FIN and PSH belong to the last segment, and CWR to the
// first (net/ipv4/tcp_offload.c). last: h is that of the last.
func (s *Splitter) tcp(h []byte, last bool) {
	binary.BigEndian.PutUint32(h[4:], binary.BigEndian.Uint32(h[4:])+uint32(s.at))
	if !last {
		h[13] &^= tcpFIN | tcpPSH
	}
	if s.index > 1 {
		h[13] &^= tcpCWR
	}
}
