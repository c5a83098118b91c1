package engine

import (
	"encoding/binary"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// Extended communities that are not transitive stay in this AS (RFC 4360 section 6): of those that iBGP neighbors
// have sent, one in another AS gets none. GoBGP would hand them on.

// nonTransitive is set in the first octet of such a community, also of an IPv6 one (RFC 5701 section 2).
const nonTransitive = 0x40

// withoutNonTransitive returns an UPDATE without such communities, or m itself if it has none.
func withoutNonTransitive(m []byte) []byte {
	const header = gobgp.BGP_HEADER_LENGTH
	if len(m) < header+4 || m[18] != gobgp.BGP_MSG_UPDATE {
		return m
	}
	lengthAt := header + 2 + int(binary.BigEndian.Uint16(m[header:])) // behind the withdrawn routes
	if lengthAt+2 > len(m) {
		return m
	}
	begin := lengthAt + 2
	end := begin + int(binary.BigEndian.Uint16(m[lengthAt:]))
	if end > len(m) {
		return m
	}
	var out []byte // nil: as m until here
	for at := begin; at < end; {
		head, n, ok := attributeAt(m[at:end])
		if !ok {
			return m
		}
		attr := m[at : at+head+n]
		kept := transitiveOnly(attr[1], attr[head:])
		if out == nil && len(kept) < n {
			out = append(make([]byte, 0, len(m)), m[:at]...)
		}
		if out != nil && (n == 0 || len(kept) > 0) {
			out = append(out, attr[:head]...)
			if head == 4 {
				binary.BigEndian.PutUint16(out[len(out)-2:], uint16(len(kept)))
			} else {
				out[len(out)-1] = byte(len(kept))
			}
			out = append(out, kept...)
		}
		at += head + n
	}
	if out == nil {
		return m
	}
	binary.BigEndian.PutUint16(out[lengthAt:], uint16(len(out)-begin))
	out = append(out, m[end:]...)
	binary.BigEndian.PutUint16(out[16:], uint16(len(out)))
	return out
}

// attributeAt returns the lengths of the header and the value of the attribute at the start of b, and false if it does
// not fit.
func attributeAt(b []byte) (head, n int, ok bool) {
	switch {
	case len(b) >= 4 && b[0]&byte(gobgp.BGP_ATTR_FLAG_EXTENDED_LENGTH) != 0:
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case len(b) >= 3 && b[0]&byte(gobgp.BGP_ATTR_FLAG_EXTENDED_LENGTH) == 0:
		head, n = 3, int(b[2])
	default:
		return 0, 0, false
	}
	return head, n, head+n <= len(b)
}

// transitiveOnly returns the value of an attribute without extended communities that are not transitive: value itself if
// there are none.
func transitiveOnly(typ byte, value []byte) []byte {
	size := 0
	switch gobgp.BGPAttrType(typ) {
	case gobgp.BGP_ATTR_TYPE_EXTENDED_COMMUNITIES:
		size = 8
	case gobgp.BGP_ATTR_TYPE_IP6_EXTENDED_COMMUNITIES:
		size = 20
	}
	if size == 0 || len(value)%size != 0 {
		return value
	}
	var kept []byte
	for v := value; len(v) > 0; v = v[size:] {
		if v[0]&nonTransitive == 0 {
			kept = append(kept, v[:size]...)
		}
	}
	if len(kept) == len(value) {
		return value
	}
	return kept
}
