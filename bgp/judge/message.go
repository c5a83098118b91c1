package judge

import "encoding/binary"

// RFC 4271 section 4.1: a message has a header of 19 octets and is at most 4096
// long; longer ones (RFC 8654) are never negotiated.
const (
	headerLen  = 19
	maxMessage = 4096
)

// Types of messages, RFC 4271 section 4.1 and RFC 2918.
const (
	typeOpen         = 1
	typeUpdate       = 2
	typeNotification = 3
	typeKeepalive    = 4
	typeRefresh      = 5
)

// appendHeader appends the header of a message with body octets behind it.
func appendHeader(dst []byte, typ uint8, body int) []byte {
	for range 16 {
		dst = append(dst, 0xff)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(headerLen+body))
	return append(dst, typ)
}
