package rtnl

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Header is struct nlmsghdr without its length (include/uapi/linux/netlink.h).
type Header struct {
	Type, Flags uint16
	Seq         uint32
	Port        uint32 // netlink address of the socket whose request caused an event
}

// HeaderLen is the length of struct nlmsghdr, in bytes.
const HeaderLen = unix.NLMSG_HDRLEN

const attrLen = unix.SizeofRtAttr

func align4(n int) int { return (n + 3) &^ 3 }

// appendHeader appends a header and size zero bytes. finish sets the length.
func appendHeader(b []byte, typ, flags uint16, seq uint32, size int) []byte {
	start := len(b)
	b = append(b, make([]byte, HeaderLen+size)...)
	binary.NativeEndian.PutUint16(b[start+4:], typ)
	binary.NativeEndian.PutUint16(b[start+6:], flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[start+8:], seq)
	return b
}

// finish sets the length of the message that begins at start and is the last in b.
func finish(b []byte, start int) []byte {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// AppendAttr appends an attribute, padded to four bytes.
func AppendAttr(b []byte, typ uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrLen+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, align4(len(value))-len(value))...)
}

// AppendUint32 appends an attribute that is a number.
func AppendUint32(b []byte, typ uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, attrLen+4)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return binary.NativeEndian.AppendUint32(b, v)
}

// Messages yields the messages of one datagram. A truncated one ends it. The payloads
// alias b.
func Messages(b []byte) iter.Seq2[Header, []byte] {
	return func(yield func(Header, []byte) bool) {
		for len(b) >= HeaderLen {
			n := int(binary.NativeEndian.Uint32(b))
			if n < HeaderLen || n > len(b) {
				return
			}
			h := Header{
				Type:  binary.NativeEndian.Uint16(b[4:]),
				Flags: binary.NativeEndian.Uint16(b[6:]),
				Seq:   binary.NativeEndian.Uint32(b[8:]),
				Port:  binary.NativeEndian.Uint32(b[12:]),
			}
			if !yield(h, b[HeaderLen:n]) {
				return
			}
			b = b[min(align4(n), len(b)):]
		}
	}
}

// Attributes yields type and value of each attribute in b. A truncated one ends it.
func Attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrLen {
			n := int(binary.NativeEndian.Uint16(b))
			if n < attrLen || n > len(b) {
				return
			}
			typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(typ, b[attrLen:n]) {
				return
			}
			b = b[min(align4(n), len(b)):]
		}
	}
}

func attrUint32(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

func family(p netip.Prefix) uint8 {
	if p.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
