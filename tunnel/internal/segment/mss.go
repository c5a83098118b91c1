package segment

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// ClampMSS makes a TCP SYN offer no more than fits into packets of mtu bytes, in
// place (as RFC 4459 section 3.2 describes). Its checksum, which must be complete,
// stays as right or wrong as it was. Other packets are left as they are.
func ClampMSS(p []byte, mtu int) { clampMSS(p, mtu, replace) }

// ClampFrame is ClampMSS for a frame of package tun. Where the kernel has left the checksum to the far end, what is
// there covers the addresses alone, and stays.
func ClampFrame(frame []byte, mtu int) {
	if len(frame) <= tun.HeaderLen {
		return
	}
	set := replace
	if frame[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 {
		set = func(h []byte, at int, v uint16) { binary.BigEndian.PutUint16(h[at:], v) }
	}
	clampMSS(frame[tun.HeaderLen:], mtu, set)
}

// clampMSS changes the option by set, whose arguments are those of replace.
func clampMSS(p []byte, mtu int, set func(h []byte, at int, v uint16)) {
	var start, limit int
	switch {
	case len(p) >= 40 && p[0]>>4 == 4:
		if p[9] != unix.IPPROTO_TCP || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return
		}
		start, limit = int(p[0]&15)*4, mtu-40
	case len(p) >= 60 && p[0]>>4 == 6:
		// What the extension headers take is not taken off: later segments need not have them
		// (RFC 6691, section 3).
		start, limit = tcpBehind(p), mtu-60
	default:
		return
	}
	if start < 20 || len(p) < start+20 || p[start+13]&tcpSYN == 0 {
		return
	}
	if end := start + int(p[start+12]>>4)*4; end >= start+20 && end <= len(p) {
		clampOptions(p[start:], end-start, limit, set)
	}
}

// maxHeaders bounds the walk along a packet's headers, TCP's own included. Real packets have
// one or two before it; RFC 8200 section 4.1 has seven places for them.
const maxHeaders = 8

// tcpBehind returns where the TCP header of an IPv6 packet of at least 40 bytes begins,
// which may be behind the packet's end; 0 if it has none, or is a fragment without it.
func tcpBehind(p []byte) int {
	next, at := p[6], 40
	for range maxHeaders {
		if next == unix.IPPROTO_TCP {
			return at
		}
		if len(p) < at+8 {
			return 0
		}
		length := 8
		switch next {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_DSTOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_MH, protocolHIP, protocolShim6:
			length += int(p[at+1]) * 8 // RFC 8200, sections 4.3, 4.4 and 4.6; RFC 6564
		case unix.IPPROTO_FRAGMENT:
			if binary.BigEndian.Uint16(p[at+2:])&^7 != 0 { // the offset, section 4.5
				return 0
			}
		case unix.IPPROTO_AH:
			length = int(p[at+1])*4 + 8 // RFC 4302, section 2.2
		default:
			return 0
		}
		next, at = p[at], at+length
	}
	return 0
}

// Extension headers for which unix has no names (IANA, "IPv6 Extension Header Types").
const (
	protocolHIP   = 139 // RFC 7401
	protocolShim6 = 140 // RFC 5533
)

// clampOptions looks for the option in a TCP header of n bytes (RFC 9293, section
// 3.2).
func clampOptions(h []byte, n, limit int, set func(h []byte, at int, v uint16)) {
	for at := 20; at < n; {
		kind := h[at]
		if kind == 0 {
			return
		}
		if kind == 1 {
			at++
			continue
		}
		if at+2 > n || h[at+1] < 2 || at+int(h[at+1]) > n {
			return
		}
		if kind == 2 && h[at+1] == 4 {
			if old := binary.BigEndian.Uint16(h[at+2:]); int(old) > limit {
				set(h, at+2, uint16(limit))
			}
			return
		}
		at += int(h[at+1])
	}
}

// replace writes 16 bits into a TCP header and updates its checksum (RFC 1624). At
// an odd offset the bytes count the other way round.
func replace(h []byte, at int, v uint16) {
	old := binary.BigEndian.Uint16(h[at:])
	binary.BigEndian.PutUint16(h[at:], v)
	if at%2 == 1 {
		old, v = old<<8|old>>8, v<<8|v>>8
	}
	c := binary.BigEndian.Uint16(h[16:])
	binary.BigEndian.PutUint16(h[16:], ^reduce(uint64(^c)+uint64(^old)+uint64(v)))
}
