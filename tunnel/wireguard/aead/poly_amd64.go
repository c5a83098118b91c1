package aead

import (
	"encoding/binary"
	"math/bits"
)

// macs are the states of Poly1305 (RFC 8439, section 2.5) of eight messages, modulo
// 2^130 - 5, in limbs of 44, 44 and 42 bits.
type macs struct {
	h [3][half]uint64
	r [5][half]uint64 // the last two are 20 times the second and the third
	s [half][2]uint64
}

const (
	low44 = 1<<44 - 1
	low42 = 1<<42 - 1
)

// setKey begins the mac of a message with its key.
func (m *macs) setKey(i int, key *[32]byte) {
	lo := binary.LittleEndian.Uint64(key[0:]) & 0x0ffffffc0fffffff
	hi := binary.LittleEndian.Uint64(key[8:]) & 0x0ffffffc0ffffffc
	r1, r2 := (lo>>44|hi<<20)&low44, hi>>24
	m.r[0][i], m.r[1][i], m.r[2][i] = lo&low44, r1, r2
	// A product beyond 2^132 counts as one by 2^132 mod 2^130-5.
	m.r[3][i], m.r[4][i] = 20*r1, 20*r2
	m.s[i] = [2]uint64{binary.LittleEndian.Uint64(key[16:]), binary.LittleEndian.Uint64(key[24:])}
}

// tag ends the mac of a message.
func (m *macs) tag(i int, tag *[Overhead]byte) {
	h0, h1, h2 := m.h[0][i], m.h[1][i], m.h[2][i]
	h1 += h0 >> 44
	h2 += h1 >> 44
	h0 = h0&low44 + h2>>42*5
	h1 = h1&low44 + h0>>44
	h0, h2 = h0&low44, h2&low42

	lo, carry := bits.Add64(h0, h1<<44, 0)
	hi, carry := bits.Add64(h1>>20, h2<<24, carry)
	top := h2>>40 + carry

	// If it is not below 2^130 - 5, then adding 5 reaches 2^130.
	lo5, carry := bits.Add64(lo, 5, 0)
	hi5, carry := bits.Add64(hi, 0, carry)
	reduced := -((top + carry) >> 2)
	lo, hi = lo&^reduced|lo5&reduced, hi&^reduced|hi5&reduced

	lo, carry = bits.Add64(lo, m.s[i][0], 0)
	hi, _ = bits.Add64(hi, m.s[i][1], carry)
	binary.LittleEndian.PutUint64(tag[0:], lo)
	binary.LittleEndian.PutUint64(tag[8:], hi)
}
