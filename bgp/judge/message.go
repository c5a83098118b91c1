package judge

import (
	"encoding/binary"
	"fmt"
)

// RFC 4271 section 4.1: a message has a header of 19 octets and at most 4096 in
// all. Longer ones (RFC 8654) are never negotiated, see ownOpen.
const (
	headerLen  = 19
	maxMessage = 4096
)

// Types of messages, RFC 4271 section 4.1 and RFC 2918 section 3.
const (
	typeOpen         = 1
	typeUpdate       = 2
	typeNotification = 3
	typeKeepalive    = 4
	typeRefresh      = 5
)

func typeName(typ uint8) string {
	switch typ {
	case typeOpen:
		return "an OPEN"
	case typeUpdate:
		return "an UPDATE"
	case typeKeepalive:
		return "a KEEPALIVE"
	case typeRefresh:
		return "a ROUTE-REFRESH"
	}
	return fmt.Sprintf("a message of type %d", typ)
}

func messageLen(header []byte) int { return int(binary.BigEndian.Uint16(header[16:])) }

// nextMessage returns the next complete message of the stream that goes on with
// in, and what is left of in. It returns nil when more bytes are needed, which
// it keeps, or when the header is wrong and s.err is set. The message is valid
// until the next call.
func (s *Session) nextMessage(in []byte) (msg, rest []byte) {
	if len(s.partial) > 0 {
		return s.resume(in)
	}
	if len(in) < headerLen {
		s.partial = append(s.partial, in...)
		return nil, nil
	}
	if n := checkHeader(in); n != nil {
		s.fail(n)
		return nil, nil
	}
	n := messageLen(in)
	if len(in) < n {
		s.partial = append(s.partial, in...)
		return nil, nil
	}
	return in[:n], in[n:]
}

// resume is nextMessage where the start of the message is in s.partial.
func (s *Session) resume(in []byte) (msg, rest []byte) {
	if missing := headerLen - len(s.partial); missing > 0 {
		n := min(missing, len(in))
		s.partial = append(s.partial, in[:n]...)
		in = in[n:]
		if n < missing {
			return nil, nil
		}
		if n := checkHeader(s.partial); n != nil {
			s.fail(n)
			return nil, nil
		}
	}
	missing := messageLen(s.partial) - len(s.partial)
	n := min(missing, len(in))
	s.partial = append(s.partial, in[:n]...)
	if n < missing {
		return nil, nil
	}
	msg = s.partial
	s.partial = s.partial[:0]
	return msg, in[n:]
}

// checkHeader returns what is wrong with a header (RFC 4271 section 6.1).
func checkHeader(h []byte) *Notification {
	if binary.BigEndian.Uint64(h) != 1<<64-1 || binary.BigEndian.Uint64(h[8:]) != 1<<64-1 {
		return &Notification{Code: errHeader, Subcode: 1, Text: "the peer's stream is not BGP, or out of step: a message does not begin with the marker (RFC 4271 section 6.1)"}
	}
	typ, n := h[headerLen-1], messageLen(h)
	shortest, longest := headerLen, maxMessage
	switch typ {
	case typeOpen:
		shortest = 29
	case typeUpdate:
		shortest = 23
	case typeNotification:
		shortest = 21
	case typeKeepalive:
		longest = headerLen
	case typeRefresh:
	default:
		if n < headerLen || n > maxMessage {
			break
		}
		return &Notification{Code: errHeader, Subcode: 3, Data: []byte{typ}, Text: fmt.Sprintf("the peer sent a message of unknown type %d (RFC 4271 section 6.1)", typ)}
	}
	if n < shortest || n > longest {
		return &Notification{
			Code: errHeader, Subcode: 2, Data: append([]byte(nil), h[16:18]...),
			Text: fmt.Sprintf("the peer sent %s of length %d (RFC 4271 section 6.1)", typeName(typ), n),
		}
	}
	return nil
}

// appendHeader appends the header of a message with body octets behind it.
func appendHeader(dst []byte, typ uint8, body int) []byte {
	dst = binary.BigEndian.AppendUint64(dst, 1<<64-1)
	dst = binary.BigEndian.AppendUint64(dst, 1<<64-1)
	dst = binary.BigEndian.AppendUint16(dst, uint16(headerLen+body))
	return append(dst, typ)
}

// familyOf returns the family of an AFI and a SAFI, and false if it is not IPv4
// or IPv6 unicast.
func familyOf(afi uint16, safi uint8) (f int, ok bool) {
	return int(afi) - 1, safi == safiUnicast && (afi == afiIPv4 || afi == afiIPv6)
}

const (
	afiIPv4     = 1
	afiIPv6     = 2
	safiUnicast = 1
)
