package aead

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"
)

// What all processors have to do must be right on those with lanes too.
func TestWithoutLanes(t *testing.T) {
	defer func(was bool) { able = was }(able)
	able = false
	TestAllCounts(t)
	TestMixedLengths(t)
}

// RFC 8439, section 2.4.2: the block counter, and more than one block.
func TestChaCha20Vector(t *testing.T) {
	needLanes(t)
	text := "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
	var key [8]uint32
	for i := range key {
		key[i] = uint32(0x03020100 + 0x04040404*i)
	}
	var nonces [3][Lanes]uint32
	var msgs [Lanes]*byte
	var bufs [Lanes][128]byte
	for i := range Lanes {
		nonces[1][i] = 0x4a000000
		copy(bufs[i][:], text)
		msgs[i] = &bufs[i][0]
	}
	chacha(&msgs, 2, 1, &key, &nonces)
	for i := range bufs {
		if begins, ends := []byte{0x6e, 0x2e, 0x35, 0x9a, 0x25, 0x68}, []byte{0x8e, 0xed, 0xf2, 0x78, 0x5e, 0x42, 0x87, 0x4d}; !bytes.HasPrefix(bufs[i][:], begins) ||
			!bytes.HasSuffix(bufs[i][:len(text)], ends) {
			t.Errorf("lane %d: %x", i, bufs[i][:len(text)])
		}
	}
}

// Sums that are just below and just above 2^130-5, and the largest keys and blocks, are
// not to be met by chance.
func TestPolyAgainstBig(t *testing.T) {
	needLanes(t)
	r := rand.New(rand.NewPCG(5, 5))
	ones := bytes.Repeat([]byte{0xff}, 16)
	keys := [][]byte{{1}, {2}, {4}, ones, make([]byte, 16)}
	for range 20 {
		keys = append(keys, random(r, 16))
	}
	var messages [][]byte
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 88, 89} {
		messages = append(messages, bytes.Repeat(ones, n), make([]byte, 16*n), random(r, 16*n))
	}
	// Three blocks are 3 * 2^128 and what is in them: 2^130 - 5 with 2^128 - 5.
	for off := range 12 {
		m := bytes.Clone(append(bytes.Clone(ones), make([]byte, 32)...))
		m[0] -= byte(off)
		messages = append(messages, m)
		m = bytes.Clone(m)
		m[16] = 1
		messages = append(messages, m)
	}
	for _, k := range keys {
		for _, m := range messages {
			checkPoly(t, r, append(bytes.Clone(k), make([]byte, 16-len(k))...), m)
		}
	}
}

// checkPoly has a message in one lane and noise in the others.
func checkPoly(t *testing.T, r *rand.Rand, key, msg []byte) {
	t.Helper()
	lane := r.IntN(half)
	pad := random(r, 16)
	var m macs
	var at [half]*byte
	for i := range half {
		k, b := random(r, 32), random(r, len(msg)+31)
		if i == lane {
			copy(k, key)
			copy(k[16:], pad)
			copy(b, msg)
		}
		m.setKey(i, (*[32]byte)(k))
		at[i] = &b[0]
	}
	poly(&m.h, &m.r, &at, uint64(len(msg)/16))
	var got [Overhead]byte
	m.tag(lane, &got)
	if want := bigPoly(key, pad, msg); got != want {
		t.Errorf("key %x, message %x: %x, want %x", key, msg, got, want)
	}
}

// bigPoly is RFC 8439, section 2.5, as it is written there, for whole blocks.
func bigPoly(key, pad, msg []byte) (tag [Overhead]byte) {
	number := func(b []byte) *big.Int {
		var reversed [17]byte
		for i, v := range b {
			reversed[16-i] = v
		}
		return new(big.Int).SetBytes(reversed[:])
	}
	clamped := bytes.Clone(key)
	binary.LittleEndian.PutUint64(clamped, binary.LittleEndian.Uint64(clamped)&0x0ffffffc0fffffff)
	binary.LittleEndian.PutUint64(clamped[8:], binary.LittleEndian.Uint64(clamped[8:])&0x0ffffffc0ffffffc)
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 130), big.NewInt(5))
	h := new(big.Int)
	for ; len(msg) > 0; msg = msg[16:] {
		h.Add(h, number(append(bytes.Clone(msg[:16]), 1)))
		h.Mul(h, number(clamped)).Mod(h, p)
	}
	h.Add(h, number(pad))
	h.And(h, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1)))
	h.FillBytes(tag[:])
	for i := range 8 {
		tag[i], tag[15-i] = tag[15-i], tag[i]
	}
	return tag
}

// needLanes is for tests of what only some processors can run; the others run none of
// it outside of tests either.
func needLanes(t *testing.T) {
	t.Helper()
	if !able {
		t.Skip("the processor has no AVX-512 with IFMA")
	}
}
