package segment

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// Joiner puts consecutive TCP segments of one flow together again, by the rules of
// the kernel's GRO (net/ipv4/tcp_offload.c), made a little stricter so that the frame
// gives exactly the same packets when it is cut again. It holds one frame. Its zero
// value is empty. It is not safe for concurrent use.
type Joiner struct {
	buf   []byte // of the caller, for a frame
	n     int    // bytes of it in use; 0: none
	count int    // packets in it
	start int    // of the TCP header, in the packet
	size  int    // of each payload but the last; 0: nothing can be added
	next  uint32 // sequence number to follow
}

// Use gives the Joiner a buffer of at least [tun.MaxFrame] bytes to work in. Any
// frame in the one before is forgotten.
func (j *Joiner) Use(buf []byte) { *j = Joiner{buf: buf} }

// Add tries to make p a part of the frame, and reports whether it is. If not, the
// frame has to be flushed first; after that, Add takes any packet of up to
// [tun.MaxPacket] bytes. p is not kept.
func (j *Joiner) Add(p []byte) bool {
	start, size := segmentOf(p)
	if j.n == 0 {
		clear(j.buf[:tun.HeaderLen])
		j.n = tun.HeaderLen + copy(j.buf[tun.HeaderLen:], p)
		j.count, j.start, j.size = 1, start, size
		if size > 0 {
			j.next = binary.BigEndian.Uint32(p[start+4:]) + uint32(size)
			j.endIfPushed(p)
		}
		return true
	}
	if size == 0 || !j.follows(p, start, size) {
		return false
	}
	j.n += copy(j.buf[j.n:], p[len(p)-size:])
	j.count++
	j.next += uint32(size)
	j.buf[tun.HeaderLen+start+13] |= p[start+13]
	if size < j.size {
		// The segment size of the header stays; nothing comes after the short one.
		j.finish()
		j.size = 0
		return true
	}
	j.endIfPushed(p)
	return true
}

// endIfPushed lets nothing follow a segment with PSH.
func (j *Joiner) endIfPushed(p []byte) {
	if p[j.start+13]&tcpPSH == 0 {
		return
	}
	if j.count > 1 {
		j.finish()
	}
	j.size = 0
}

// Flush returns the frame, empty if there is none, and begins anew. The frame is in
// the buffer, and good until the next Add.
func (j *Joiner) Flush() []byte {
	if j.count > 1 && j.size > 0 {
		j.finish()
	}
	frame := j.buf[:j.n]
	j.n, j.count, j.size = 0, 0, 0
	return frame
}

// follows reports whether p is the next segment of the frame's flow: all of its
// headers are the same, but for what has to differ.
func (j *Joiner) follows(p []byte, start, size int) bool {
	first := j.buf[tun.HeaderLen:j.n]
	if j.size == 0 || start != j.start || size > j.size || j.n+size > tun.MaxFrame ||
		binary.BigEndian.Uint32(p[start+4:]) != j.next {
		return false
	}
	if p[0] == 0x45 {
		if !bytes.Equal(first[:2], p[:2]) || !bytes.Equal(first[6:10], p[6:10]) || !bytes.Equal(first[12:20], p[12:20]) ||
			binary.BigEndian.Uint16(first[4:])+uint16(j.count) != binary.BigEndian.Uint16(p[4:]) {
			return false
		}
	} else if !bytes.Equal(first[:4], p[:4]) || !bytes.Equal(first[6:40], p[6:40]) {
		return false
	}
	a, b := first[start:], p[start:len(p)-size]
	return bytes.Equal(a[:4], b[:4]) && bytes.Equal(a[8:13], b[8:13]) && // ports, acknowledgment, length
		bytes.Equal(a[14:16], b[14:16]) && bytes.Equal(a[18:len(b)], b[18:]) // window, urgent pointer, options
}

// finish writes the headers of a frame of several packets.
func (j *Joiner) finish() {
	p := j.buf[tun.HeaderLen:j.n]
	h := j.buf[:tun.HeaderLen]
	h[offFlags] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	if p[0]>>4 == 4 {
		h[offGSOType] = unix.VIRTIO_NET_HDR_GSO_TCPV4
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		putIPv4Sum(p[:20])
	} else {
		h[offGSOType] = unix.VIRTIO_NET_HDR_GSO_TCPV6
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	}
	put := func(off, v int) { binary.LittleEndian.PutUint16(h[off:], uint16(v)) }
	put(offHdrLen, j.start+int(p[j.start+12]>>4)*4)
	put(offGSOSize, j.size)
	put(offCsumStart, j.start)
	put(offCsumOffst, 16)
	// The kernel adds the rest to the sum of the pseudo-header.
	binary.BigEndian.PutUint16(p[j.start+16:], fold(pseudo(p, unix.IPPROTO_TCP, len(p)-j.start)))
}

// segmentOf returns where the TCP header begins, and the length of the payload, of a
// packet that may be joined with others; else a length of 0.
func segmentOf(p []byte) (start, size int) {
	switch {
	case len(p) >= 40 && p[0] == 0x45:
		if p[9] != unix.IPPROTO_TCP || int(binary.BigEndian.Uint16(p[2:])) != len(p) || p[6]&0xbf|p[7] != 0 ||
			!right(p[10:], sum(p[:20], 0)) {
			return 0, 0
		}
		start = 20
	case len(p) >= 60 && p[0]>>4 == 6:
		if p[6] != unix.IPPROTO_TCP || int(binary.BigEndian.Uint16(p[4:])) != len(p)-40 {
			return 0, 0
		}
		start = 40
	default:
		return 0, 0
	}
	headers := start + int(p[start+12]>>4)*4
	if headers < start+20 || headers >= len(p) || p[start+13]&^tcpPSH != tcpACK || p[start+12]&15 != 0 {
		return 0, 0
	}
	if !right(p[start+16:], sum(p[start:], pseudo(p, unix.IPPROTO_TCP, len(p)-start))) {
		return 0, 0 // it is for the receiver to see that it is broken
	}
	return start, len(p) - headers
}

// right reports whether a checksum, which is part of the sum, is right, and the one of
// its two zeros that splitting makes.
func right(checksum []byte, total uint64) bool {
	return fold(total) == 0xffff && checksum[0]&checksum[1] != 0xff
}
