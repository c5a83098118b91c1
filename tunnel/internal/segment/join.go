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
	buf   []byte // of the caller
	n     int    // bytes of it in use; 0: none
	count int    // packets in it
	start int    // of the TCP header, in the packet
	size  int    // of each payload but the last; 0: it is no segment
	next  uint32 // sequence number to follow
	ended bool   // nothing can be added
}

// Use gives the Joiner a buffer to work in. Any frame in the one before is forgotten.
func (j *Joiner) Use(buf []byte) { *j = Joiner{buf: buf} }

// Add tries to make p a part of the frame, and reports whether it is. If not, the
// frame has to be flushed first; after that, Add takes any packet of up to
// [tun.MaxPacket] bytes for which the buffer has room, after a header. p is not kept,
// and it may lie in the buffer itself, in its place or behind it, so that packets which
// lie one after the other are joined where they are.
func (j *Joiner) Add(p []byte) bool {
	start, size := segmentOf(p)
	if j.n == 0 {
		clear(j.buf[:tun.HeaderLen])
		j.n = tun.HeaderLen + copy(j.buf[tun.HeaderLen:], p)
		j.count, j.start, j.size, j.ended = 1, start, size, size == 0
		if size > 0 {
			j.next = binary.BigEndian.Uint32(p[start+4:]) + uint32(size)
			j.ended = p[start+13]&tcpPSH != 0
		}
		return true
	}
	if size == 0 || size > j.size || !j.follows(p, start, size) {
		return false
	}
	// Nothing comes after a short segment, or one with PSH.
	j.ended = size < j.size || p[start+13]&tcpPSH != 0
	j.add(p, size, 1)
	return true
}

// Append tries to make what is in another Joiner the end of the frame, and reports
// whether it is. The other then is empty.
func (j *Joiner) Append(o *Joiner) bool {
	if j.n == 0 || o.n == 0 || o.size == 0 || o.size > j.size || o.count > 1 && o.size < j.size {
		return false
	}
	p := o.buf[tun.HeaderLen:o.n]
	payload := len(p) - o.start - int(p[o.start+12]>>4)*4
	if !j.follows(p, o.start, payload) {
		return false
	}
	j.add(p, payload, o.count)
	j.ended = o.ended || o.size < j.size
	o.n, o.count, o.size = 0, 0, 0
	return true
}

// add takes the payload at the end of p, of count segments. The headers of p may be
// where it goes.
func (j *Joiner) add(p []byte, payload, count int) {
	j.buf[tun.HeaderLen+j.start+13] |= p[j.start+13]
	j.n += copy(j.buf[j.n:], p[len(p)-payload:])
	j.count += count
	j.next += uint32(payload)
}

// Flush returns the frame, empty if there is none, and begins anew. The frame is in
// the buffer, and good until the next Add.
func (j *Joiner) Flush() []byte {
	if j.count > 1 {
		j.finish()
	}
	frame := j.buf[:j.n]
	j.n, j.count, j.size = 0, 0, 0
	return frame
}

// follows reports whether p, with so many bytes of payload, is what comes next in the
// frame's flow, and has room: all of its headers are the same, but for what has to
// differ.
func (j *Joiner) follows(p []byte, start, payload int) bool {
	first := j.buf[tun.HeaderLen:j.n]
	if j.ended || start != j.start || j.n+payload > min(len(j.buf), tun.MaxFrame) ||
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
	a, b := first[start:], p[start:len(p)-payload]
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
