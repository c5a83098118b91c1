package child

import (
	"testing"

	"warren/bgp/heap"
)

func TestGCPercent(t *testing.T) {
	const large = heap.LargeTable
	is := heap.SmallGrowth
	for _, c := range []struct{ prefixes, routes, want int }{
		{0, 0, heap.SmallGrowth}, {large - 1, large - 1, heap.SmallGrowth}, {1000, 10 * large, heap.SmallGrowth},
		{large, large, gcLarge}, {large, 2 * large, gcLarge}, {large, 3 * large, gcShared}, {50 * large, 50 * large, gcLarge},
		{large / 2, large / 2, gcLarge}, {large/2 - 1, large, heap.SmallGrowth}, {large - 1, large, heap.SmallGrowth},
	} {
		if is = gcPercent(is, c.prefixes, c.routes); is != c.want {
			t.Errorf("with %d routes to %d prefixes: %d, want %d", c.routes, c.prefixes, is, c.want)
		}
	}
}
