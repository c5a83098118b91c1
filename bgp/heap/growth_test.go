package heap

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGrowth(t *testing.T) {
	is := SmallGrowth
	for _, c := range []struct{ prefixes, want int }{
		{LargeTable - 1, SmallGrowth}, {LargeTable, LargeGrowth}, {LargeTable / 2, LargeGrowth},
		{LargeTable/2 - 1, SmallGrowth}, {LargeTable - 1, SmallGrowth},
	} {
		if is = Growth(is, c.prefixes); is != c.want {
			t.Errorf("with %d prefixes: %d, want %d", c.prefixes, is, c.want)
		}
	}
}

func TestCalm(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		before, now allocation
		want        bool
	}{
		{allocation{size: 4 * mb, ever: 10 * mb}, allocation{size: 4 * mb, ever: 11 * mb}, true},
		{allocation{size: 4 * mb, ever: 10 * mb}, allocation{size: 4 * mb, ever: 12 * mb}, false},
		{allocation{size: 40 * mb, ever: 10 * mb}, allocation{size: 40 * mb, ever: 15 * mb}, true},
		{allocation{size: 40 * mb, ever: 10 * mb}, allocation{size: 40 * mb, ever: 17 * mb}, false},
	} {
		if got := c.now.calmSince(c.before); got != c.want {
			t.Errorf("from %v to %v: %v, want %v", c.before, c.now, got, c.want)
		}
	}
	before := allocated()
	kept := make([]byte, 8*mb)
	if now := allocated(); now.ever < before.ever+8*mb || now.calmSince(before) {
		t.Errorf("8 MB were allocated: from %v to %v", before, now)
	}
	runtime.KeepAlive(kept)
}

// TestRestIsDue: memory is given back once when a process comes to rest, and never hundreds of megabytes at once, also if it is free
// already.
func TestRestIsDue(t *testing.T) {
	const mb = 1 << 20
	r := rests{busy: true}
	for i, c := range []struct {
		size, spare, more uint64 // MB; more: allocated since
		want              bool
	}{
		{10, 20, 50, false},                                     // the start
		{10, 20, 0, true}, {10, 1, 0, false}, {10, 1, 0, false}, // once
		{10, 60, 50, false}, {10, 50, 0, true}, // and again
		{800, 100, 900, false}, {800, 100, 0, false}, // a large table comes
		{700, 100, 100, false}, {30, 850, 1, false}, {30, 850, 0, false}, // and goes, and the collector has found it
		{30, 35, 0, false}, {30, 30, 0, true}, {30, 1, 0, false}, // and the runtime has given it back
		{60, 1, 30, false}, {100, 1, 40, false}, {20, 1, 0, true},
	} {
		now := allocation{size: c.size * mb, spare: c.spare * mb, ever: r.before.ever + c.more*mb}
		if got := r.due(now); got != c.want {
			t.Errorf("step %d: %+v: %v, want %v", i, c, got, c.want)
		}
	}
}

// TestWhatIsFreeCounts: what the collector has found is in no object any more, and the heap holds it still.
func TestWhatIsFreeCounts(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // so the runtime gives nothing back meanwhile
	var large [32][]byte
	for i := range large {
		large[i] = make([]byte, restMost/16)
	}
	runtime.KeepAlive(&large)
	clear(large[:])
	runtime.GC()
	if now := allocated(); now.size > restMost || now.held() < 2*restMost {
		t.Errorf("%d MB of objects, %d MB are held", now.size>>20, now.held()>>20)
	}
}
