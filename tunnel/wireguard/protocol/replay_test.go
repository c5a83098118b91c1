package protocol

import (
	"math/rand/v2"
	"testing"
)

// naive remembers everything.
type naive struct {
	top  uint64
	seen map[uint64]bool
}

func (w *naive) see(c uint64) bool {
	if c >= rejectAfterMessages || w.seen[c] || w.top > c && w.top-c > windowSize {
		return false
	}
	w.seen[c] = true
	w.top = max(w.top, c+1)
	return true
}

func TestWindowAgainstNaive(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w window
		n := naive{seen: map[uint64]bool{}}
		c := uint64(0)
		for range 20000 {
			switch r.IntN(12) {
			case 0:
				c += r.Uint64N(3 * windowSize)
			case 1, 2:
				c -= min(c, r.Uint64N(2*windowSize))
			case 3:
				c -= min(c, windowSize-2+r.Uint64N(4))
			default:
				c += r.Uint64N(5)
			}
			if got, want := w.see(c), n.see(c); got != want {
				t.Fatalf("seed %d: counter %d, highest %d: %v, want %v", seed, c, n.top, got, want)
			}
		}
	}
}

func TestWindowAtItsEnds(t *testing.T) {
	var w window
	for _, tc := range []struct {
		counter uint64
		want    bool
	}{
		{0, true}, {0, false}, {1, true}, {9, true}, {8, true}, {9, false},
		{windowSize + 8, true}, {9, false}, {10, true}, {10, false},
		{rejectAfterMessages, false}, {^uint64(0), false},
		{rejectAfterMessages - 1, true}, {rejectAfterMessages - 1, false},
		{rejectAfterMessages - windowSize, true}, {rejectAfterMessages - windowSize - 1, false},
	} {
		if got := w.see(tc.counter); got != tc.want {
			t.Errorf("%d: %v, want %v", tc.counter, got, tc.want)
		}
	}
}

func TestTimestamp(t *testing.T) {
	// TAI was 10 s ahead of the Unix clock's count in 1970, which is all that TAI64N
	// in WireGuard knows of leap seconds.
	got := newTimestamp(start)
	if want := (timestamp{0x40, 0, 0, 0, 0x69, 0x57, 0x35, 0xaf}); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	later := newTimestamp(start.Add(coarse))
	same := newTimestamp(start.Add(coarse - 1))
	if !later.after(&got) || got.after(&later) || same.after(&got) {
		t.Error("they do not sort as they should")
	}
}
