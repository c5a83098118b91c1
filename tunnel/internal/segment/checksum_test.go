package segment

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// naiveSum is RFC 1071 as it is written there.
func naiveSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		s += w
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// naiveTransport is the checksum of the transport part at start, whose own field is
// at sumAt.
func naiveTransport(p []byte, protocol byte, start, sumAt int) uint16 {
	var ph []byte
	if p[0]>>4 == 4 {
		ph = append(ph, p[12:20]...)
	} else {
		ph = append(ph, p[8:40]...)
	}
	ph = binary.BigEndian.AppendUint32(ph, uint32(len(p)-start))
	ph = append(ph, 0, 0, 0, protocol)
	l4 := bytes.Clone(p[start:])
	l4[sumAt-start], l4[sumAt-start+1] = 0, 0
	c := ^naiveSum(append(ph, l4...))
	if protocol == unix.IPPROTO_UDP && c == 0 {
		c = 0xffff
	}
	return c
}

func TestSumAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		b := make([]byte, r.IntN(1600))
		for i := range b {
			b[i] = byte(r.Uint32() | uint32(-r.IntN(2))) // many 0xff
		}
		if got, want := fold(sum(b, 0)), naiveSum(b); got != want {
			t.Fatalf("%x: %x, want %x", b, got, want)
		}
	}
}
