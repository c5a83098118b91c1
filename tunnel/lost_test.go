package tunnel

import (
	"testing"
	"time"
)

// TestLossesAreBounded: what a peer says without end is dropped, and what it says later is taken again.
func TestLossesAreBounded(t *testing.T) {
	var l Losses
	now := time.Unix(1e9, 0)
	taken := 0
	for range 100_000 {
		if l.Take(now) {
			taken++
		}
	}
	if taken != lossesOf {
		t.Errorf("%d of a flood are taken, want %d", taken, lossesOf)
	}
	if l.Take(now.Add(lossesIn - 1)) {
		t.Error("one more is taken too soon")
	}
	if !l.Take(now.Add(lossesIn)) {
		t.Error("none is taken afterwards")
	}
}
