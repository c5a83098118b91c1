package main

import (
	"encoding/binary"
	"net/netip"
)

const (
	fullRouterASN = 64512
	// fullHold is the hold time that the feeder offers, in seconds.
	fullHold = 90
	// maxPrefixes is how many /24 there are from 16.0.0.0 up to where addresses for other
	// uses begin, 100.64.0.0 (RFC 6598).
	maxPrefixes = 5_000_000
	// perUpdate is how many prefixes share the attributes of one UPDATE, as they do on
	// average on the Internet.
	perUpdate = 6
	// perWithdrawal is how many prefixes of 4 octets there are in an UPDATE of withdrawals:
	// nearly as many as fit into 4096 octets.
	perWithdrawal = 1000
)

// The types of BGP messages (RFC 4271 section 4.1).
const (
	messageOpen         = 1
	messageUpdate       = 2
	messageNotification = 3
	messageKeepalive    = 4
)

// fullPrefix is prefix number i, from 0, of the table: 16.0.0.0/24, 16.0.1.0/24, …
func fullPrefix(i int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(16<<24+i<<8))
	return netip.PrefixFrom(netip.AddrFrom4(a), 24)
}

// fullTable is the UPDATEs that announce the first n prefixes, and End-of-RIB (RFC 4724
// section 2).
func fullTable(n int, from source) []byte {
	var b []byte
	for i := 0; i < n; i += perUpdate {
		b = appendAnnouncement(b, i, min(i+perUpdate, n), from)
	}
	return appendUpdate(b, nil, nil, nil)
}

// fullWithdrawal is the UPDATEs that withdraw the first n prefixes.
func fullWithdrawal(n int) []byte {
	var b []byte
	for i := 0; i < n; i += perWithdrawal {
		b = appendWithdrawal(b, i, min(i+perWithdrawal, n))
	}
	return b
}

// appendAnnouncement appends one UPDATE by which s announces the prefixes from number from up to,
// without, number to. Their attributes depend on from/perUpdate, so that prefixes of different
// UPDATEs of the table have different ones, and one prefix always the same, as long as s.path is.
func appendAnnouncement(b []byte, from, to int, s source) []byte {
	group := uint32(from / perUpdate)
	a := s.addr.As4()
	attrs := []byte{0x40, 1, 1, 0}           // ORIGIN: IGP
	attrs = append(attrs, 0x40, 2, 18, 2, 4) // AS_PATH: a sequence of four
	for _, asn := range []uint32{uint32(s.asn), 1000 + group%7, 2000 + s.path*5000 + group%5000, 100_000 + group} {
		attrs = binary.BigEndian.AppendUint32(attrs, asn)
	}
	attrs = append(append(attrs, 0x40, 3, 4), a[:]...)                                // NEXT_HOP
	attrs = append(attrs, 0xc0, 8, 8, 0xfc, 0x01, 0x00, 0x01, 0xfc, 0x01, 0x00, 0x02) // COMMUNITIES (RFC 1997)
	return appendUpdate(b, nil, attrs, encodePrefixes(from, to))
}

// appendWithdrawal appends one UPDATE that withdraws these prefixes.
func appendWithdrawal(b []byte, from, to int) []byte {
	return appendUpdate(b, encodePrefixes(from, to), nil, nil)
}

// encodePrefixes writes prefixes as RFC 4271 section 4.3 has them: the length in bits, then as
// many octets as it takes.
func encodePrefixes(from, to int) []byte {
	b := make([]byte, 0, 4*(to-from))
	for i := from; i < to; i++ {
		a := fullPrefix(i).Addr().As4()
		b = append(b, 24, a[0], a[1], a[2])
	}
	return b
}

func appendUpdate(b, withdrawn, attrs, nlri []byte) []byte {
	b = appendMessageHeader(b, messageUpdate, 2+len(withdrawn)+2+len(attrs)+len(nlri))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(withdrawn))), withdrawn...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(attrs))), attrs...)
	return append(b, nlri...)
}

// openMessage is an OPEN with the capabilities for IPv4 unicast (RFC 4760) and AS numbers
// of 4 octets (RFC 6793).
func openMessage(asn uint16, id netip.Addr) []byte {
	capabilities := []byte{1, 4, 0, 1, 0, 1, 65, 4, 0, 0, byte(asn >> 8), byte(asn)}
	a := id.As4()
	b := appendMessageHeader(nil, messageOpen, 10+2+len(capabilities))
	b = append(b, 4, byte(asn>>8), byte(asn), fullHold>>8, fullHold&0xff)
	b = append(b, a[:]...)
	b = append(b, byte(2+len(capabilities)), 2, byte(len(capabilities)))
	return append(b, capabilities...)
}

func keepaliveMessage() []byte { return appendMessageHeader(nil, messageKeepalive, 0) }

// messageHeader is the length of a message's header, in octets.
const messageHeader = 19

// appendMessageHeader appends the header of a message whose body is so long.
func appendMessageHeader(b []byte, kind byte, body int) []byte {
	for range 16 {
		b = append(b, 0xff)
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(messageHeader+body)), kind)
}
