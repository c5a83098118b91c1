package ecn

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// packet is an IP packet with a traffic class, whose other bytes are random, and with the right
// checksum if it is of IPv4.
func packet(r *rand.Rand, version, class byte) []byte {
	p := make([]byte, 40+r.IntN(40))
	for i := range p {
		p[i] = byte(r.Uint32() | uint32(-r.IntN(2))) // many 0xff
	}
	if version == 6 {
		p[0], p[1] = 0x60|class>>4, class<<4|p[1]&15
		return p
	}
	p[0], p[1] = 0x45, class
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], ^headerSum(p))
	return p
}

// headerSum is RFC 1071 as it is written there, of an IPv4 header without options: 0xffff if its
// checksum is right.
func headerSum(p []byte) uint16 {
	var s uint32
	for i := 0; i < 20; i += 2 {
		s += uint32(p[i])<<8 | uint32(p[i+1])
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// TestDecapsulate holds each of the sixteen cases to RFC 6040, figure 4, in both families: the
// codepoint that comes out, DSCP and all else as they were, and a right checksum.
func TestDecapsulate(t *testing.T) {
	type outcome struct {
		verdict Verdict
		leaves  byte
	}
	// As in the RFC: rows are the inner codepoint, columns the outer one, both as Not-ECT, ECT(0),
	// ECT(1), CE.
	order := [4]Codepoint{0b00, 0b10, 0b01, 0b11}
	rows := [4][4]outcome{
		{{Kept, 0b00}, {Kept, 0b00}, {Kept, 0b00}, {Refused, 0b00}},
		{{Kept, 0b10}, {Kept, 0b10}, {Kept, 0b01}, {Marked, 0b11}},
		{{Kept, 0b01}, {Kept, 0b01}, {Kept, 0b01}, {Marked, 0b11}},
		{{Kept, 0b11}, {Kept, 0b11}, {Kept, 0b11}, {Kept, 0b11}},
	}
	r := rand.New(rand.NewPCG(6040, 4))
	for _, version := range []byte{4, 6} {
		for i, row := range rows {
			for j, want := range row {
				for range 200 {
					class := byte(r.Uint32())<<2 | byte(order[i])
					p := packet(r, version, class)
					if got := Class(p); got != class {
						t.Fatalf("IPv%d: class %02x was read as %02x", version, class, got)
					}
					before := bytes.Clone(p)
					if got := Decapsulate(p, order[j]); got != want.verdict {
						t.Fatalf("IPv%d, inner %02b, outer %02b: verdict %v, want %v", version, order[i], order[j], got, want.verdict)
					}
					if got := Class(p); got != class&^Mask|want.leaves {
						t.Fatalf("IPv%d, inner %02b, outer %02b: class %08b became %08b, want %02b at the end", version, order[i], order[j], class, got, want.leaves)
					}
					if version == 4 && headerSum(p) != 0xffff {
						t.Fatalf("inner %02b, outer %02b: a wrong checksum in % x", order[i], order[j], p[:20])
					}
					setClass(p, class)
					if !bytes.Equal(p, before) {
						t.Fatalf("IPv%d: more than the class was changed:\n% x\n% x", version, before, p)
					}
				}
			}
		}
	}
}

// A checksum that is wrong is not made right: the packet is for its receiver to refuse.
func TestWrongChecksumStaysWrong(t *testing.T) {
	r := rand.New(rand.NewPCG(1624, 3))
	for range 2000 {
		p := packet(r, 4, byte(ECT0))
		p[10] ^= 1 << r.IntN(8)
		if headerSum(p) == 0xffff {
			t.Fatal("the checksum is right")
		}
		if Decapsulate(p, CE) != Marked || headerSum(p) == 0xffff {
			t.Fatalf("% x", p[:20])
		}
	}
}

// The shortest packets are in bounds, whatever their bits are.
func TestShortestPackets(t *testing.T) {
	for first := range 256 {
		for outer := range 256 {
			p := make([]byte, 20)
			if p[0] = byte(first); first>>4 == 6 {
				p = make([]byte, 40)
				p[0] = byte(first)
			}
			Decapsulate(p, Codepoint(outer))
		}
	}
}
