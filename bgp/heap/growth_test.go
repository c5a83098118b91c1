package heap

import (
	"runtime"
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
		{allocation{4 * mb, 10 * mb}, allocation{4 * mb, 11 * mb}, true},
		{allocation{4 * mb, 10 * mb}, allocation{4 * mb, 12 * mb}, false},
		{allocation{40 * mb, 10 * mb}, allocation{40 * mb, 15 * mb}, true},
		{allocation{40 * mb, 10 * mb}, allocation{40 * mb, 17 * mb}, false},
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
