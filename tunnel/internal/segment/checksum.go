package segment

import (
	"encoding/binary"
	"math/bits"
)

// sum adds b to a ones' complement sum (RFC 1071), as 64-bit words, whose carries fold
// down to the same 16 bits. The words are little endian, which most machines load
// fastest; only fold puts the bytes in the network's order (RFC 1071, section 2 (B)).
func sum(b []byte, start uint64) uint64 {
	whole := b
	most, b := sumBlocks(b)
	start, carry := bits.Add64(start, most, 0)
	for len(b) >= 64 {
		w := b[:64]
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(w), carry)
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(w[8:]), carry)
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(w[16:]), carry)
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(w[24:]), carry)
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(w[32:]), carry)
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(w[40:]), carry)
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(w[48:]), carry)
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(w[56:]), carry)
		b = b[64:]
	}
	for len(b) >= 8 {
		start, carry = bits.Add64(start, binary.LittleEndian.Uint64(b), carry)
		b = b[8:]
	}
	start, carry = bits.Add64(start, lastWord(whole, len(b)), carry)
	start, carry = bits.Add64(start, 0, carry)
	return start + carry
}

// lastWord is a word of the last n bytes of b, up to 7. It is read with those before it:
// a word that was just put together from bytes would have to wait for them.
func lastWord(b []byte, n int) (w uint64) {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b[len(b)-8:]) >> (64 - 8*n)
	}
	for i := range n {
		w |= uint64(b[len(b)-n+i]) << (8 * i)
	}
	return w
}

// fold makes 16 bits of a sum, in the network's order.
func fold(s uint64) uint16 { return bits.ReverseBytes16(reduce(s)) }

// reduce makes 16 bits of a sum.
func reduce(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s&0xffff)
}

// pseudo is the sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section
// 8.1) of an IP packet whose transport part has n bytes, at most 65535.
func pseudo(p []byte, protocol byte, n int) uint64 {
	s := uint64(protocol)<<8 + uint64(bits.ReverseBytes16(uint16(n)))
	if p[0]>>4 == 4 {
		return sum(p[12:20], s)
	}
	return sum(p[8:40], s)
}

// putIPv4Sum completes the checksum of an IPv4 header.
func putIPv4Sum(h []byte) {
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^fold(sum(h, 0)))
}
