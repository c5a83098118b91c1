package segment

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// ClampMSS makes a TCP SYN offer no more than fits into packets of mtu bytes, in
// place (as RFC 4459 section 3.2 describes). Its checksum, which must be complete,
// stays as right or wrong as it was. Other packets are left as they are.
func ClampMSS(p []byte, mtu int) {
	var start, limit int
	switch {
	case len(p) >= 40 && p[0]>>4 == 4:
		if p[9] != unix.IPPROTO_TCP || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return
		}
		start, limit = int(p[0]&15)*4, mtu-40
	case len(p) >= 60 && p[0]>>4 == 6:
		if p[6] != unix.IPPROTO_TCP {
			return
		}
		start, limit = 40, mtu-60
	default:
		return
	}
	if start < 20 || len(p) < start+20 || p[start+13]&tcpSYN == 0 {
		return
	}
	if end := start + int(p[start+12]>>4)*4; end >= start+20 && end <= len(p) {
		clampOptions(p[start:], end-start, limit)
	}
}

// clampOptions looks for the option in a TCP header of n bytes (RFC 9293, section
// 3.2).
func clampOptions(h []byte, n, limit int) {
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
				replace(h, at+2, uint16(limit))
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
