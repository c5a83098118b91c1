package segment

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"warren/tunnel/tun"
)

// The parts of a frame are frames, and give the packets that the whole would.
func TestParts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, f := range []flow{
		{}, {v6: true}, {udp: true}, {v6: true, udp: true},
		{flags: tcpFIN | tcpPSH | tcpCWR | tcpACK, seq: 1<<32 - 2000, id: 65530, options: []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}},
	} {
		for _, payload := range []int{1, 999, 1000, 1001, 20_000, 20_500} {
			for _, count := range []int{1, 2, 7, 100} {
				t.Run(fmt.Sprintf("%+v/%d/%d", f, payload, count), func(t *testing.T) {
					frame, want := f.frame(random(r, payload), 1000)
					s, err := Parse(bytes.Clone(frame))
					if err != nil {
						t.Fatal(err)
					}
					var got [][]byte
					for {
						part := make([]byte, s.PartLen(count))
						n := s.NextPart(part, count)
						if n == 0 {
							break
						}
						if err := tun.Check(bytes.Clone(part[:n]), 1500); err != nil {
							t.Fatalf("part of %d bytes: %v", n, err)
						}
						of := split(t, part[:n])
						if len(of) > count {
							t.Fatalf("%d packets in a part, want %d", len(of), count)
						}
						got = append(got, of...)
					}
					same(t, got, want)
				})
			}
		}
	}
}

// As many packets as fit.
func TestPacketsIn(t *testing.T) {
	frame, _ := flow{}.frame(make([]byte, 20_000), 1000)
	s, err := Parse(frame)
	if err != nil {
		t.Fatal(err)
	}
	for bytes, want := range map[int]int{0: 1, 1050: 1, 2049: 1, 2050: 2, 12_500: 12} {
		if got := s.PacketsIn(bytes); got != want || s.PartLen(got) > max(bytes, 1050) {
			t.Errorf("%d bytes: %d packets with %d, want %d", bytes, got, s.PartLen(got), want)
		}
	}
}
