package segment

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// errWhole is a mistake of the caller.
var errWhole = errors.New("segment: a frame that is one packet has no parts")

// IsWhole reports whether the frame is one packet, and not to be cut.
func (s *Splitter) IsWhole() bool { return !s.gso }

// PacketsIn returns how many of the frame's packets a frame of so many bytes holds, at least one.
func (s *Splitter) PacketsIn(bytes int) int {
	return max(1, (bytes-tun.HeaderLen-s.headers)/s.size)
}

// PartLen returns the most that a part of so many packets has, in bytes.
func (s *Splitter) PartLen(count int) int {
	return tun.HeaderLen + min(len(s.packet), s.headers+count*s.size)
}

// NextPart writes a frame with the next packets to dst, count of them or those that are left, and returns its length; 0 after
// the last. The parts together give exactly the packets that the whole frame would. It is for a frame that is not whole, and
// not mixed with Next. It panics if dst has no room.
func (s *Splitter) NextPart(dst []byte, count int) int {
	if !s.gso {
		panic(errWhole)
	}
	left := s.Count() - s.index
	if left == 0 {
		return 0
	}
	count = min(count, left)
	payload := s.packet[s.headers+s.at:]
	payload = payload[:min(len(payload), count*s.size)]
	n := tun.HeaderLen + s.headers + len(payload)
	if len(dst) < n {
		panic(errRoom)
	}
	p := dst[tun.HeaderLen:n]
	copy(p, s.packet[:s.headers])
	copy(p[s.headers:], payload)
	s.putPartHeader(dst[:tun.HeaderLen], count)
	s.putPart(p, count)
	s.index += count
	s.at += len(payload)
	return n
}

// putPartHeader writes the offload header of a part of so many packets.
func (s *Splitter) putPartHeader(h []byte, count int) {
	clear(h)
	put := func(off, v int) { binary.LittleEndian.PutUint16(h[off:], uint16(v)) }
	h[offFlags] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	put(offHdrLen, s.headers)
	put(offCsumStart, s.start)
	put(offCsumOffst, s.sumAt-s.start)
	if count > 1 {
		h[offGSOType] = s.typ
		put(offGSOSize, s.size)
	}
}

// putPart completes the headers of a part, which begins with the packet that is next. The checksum is that of the
// pseudo-header alone, to which the kernel adds the rest.
func (s *Splitter) putPart(p []byte, count int) {
	s.index++ // as Next does before
	s.lengths(p)
	protocol := byte(unix.IPPROTO_TCP)
	if s.udp {
		protocol = unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(p[s.start+4:], uint16(len(p)-s.start))
	} else {
		s.tcp(p[s.start:], s.index-1+count == s.Count())
	}
	s.index--
	binary.BigEndian.PutUint16(p[s.sumAt:], fold(pseudo(p, protocol, len(p)-s.start)))
}
