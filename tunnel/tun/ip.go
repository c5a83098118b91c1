package tun

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// ipHeader is what the checks need to know of a packet's IP header.
type ipHeader struct {
	v6       bool
	len      int   // of the fixed IPv6 header, or the IPv4 header with its options
	next     uint8 // protocol after those bytes
	fragment bool
}

// parseIP reads the header of p (RFC 791, RFC 8200), which must be as long as it
// says.
func parseIP(p []byte) (ipHeader, error) {
	if len(p) == 0 {
		return ipHeader{}, errShort
	}
	switch p[0] >> 4 {
	case 4:
		if len(p) < 20 {
			return ipHeader{}, errShort
		}
		h := ipHeader{
			len:      int(p[0]&15) * 4,
			next:     p[9],
			fragment: binary.BigEndian.Uint16(p[6:])&0x3fff != 0, // offset, or more to come
		}
		if h.len < 20 || h.len > len(p) {
			return ipHeader{}, errShort
		}
		if int(binary.BigEndian.Uint16(p[2:])) != len(p) {
			return ipHeader{}, errLength
		}
		return h, nil
	case 6:
		if len(p) < 40 {
			return ipHeader{}, errShort
		}
		if 40+int(binary.BigEndian.Uint16(p[4:])) != len(p) {
			return ipHeader{}, errLength
		}
		return ipHeader{v6: true, len: 40, next: p[6]}, nil
	}
	return ipHeader{}, errVersion
}

// transport returns the protocol of the header at start, which must be the first
// one after the IP header and its extensions.
func (h ipHeader) transport(p []byte, start int) (uint8, error) {
	next, at := h.next, h.len
	for h.v6 && at != start {
		switch next {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
		case unix.IPPROTO_FRAGMENT:
			return 0, errFragment
		default:
			return 0, errExtension
		}
		if at+8 > len(p) || at > start {
			return 0, errChecksum
		}
		next, at = p[at], at+8+8*int(p[at+1])
	}
	if at != start || start >= len(p) {
		return 0, errChecksum
	}
	return next, nil
}
