package child

import (
	"testing"

	"warren/bgp/heap"
)

func TestGCPercent(t *testing.T) {
	is := gcUsual
	for _, c := range []struct{ prefixes, want int }{
		{0, gcUsual}, {heap.LargeTable - 1, gcUsual}, {heap.LargeTable, gcLarge}, {heap.LargeTable / 2, gcLarge},
		{heap.LargeTable/2 - 1, gcUsual}, {heap.LargeTable - 1, gcUsual},
	} {
		if is = gcPercent(is, c.prefixes); is != c.want {
			t.Errorf("with %d prefixes: %d, want %d", c.prefixes, is, c.want)
		}
	}
}
