package speaker

import (
	"math"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

// TestTableGivesMemoryBack has a process tell of a large table, and take all back but a few
// prefixes.
func TestTableGivesMemoryBack(t *testing.T) {
	const n, kept, most = 100_000, 10, 4 // bytes a prefix
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	numbered := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	tab := newTable()
	b := neighbor("b", 1)
	b.MaxPrefixes = n
	tab.want([]bgp.Neighbor{b}, nil)
	tell := func(ways []wire.Way, n int) {
		is, err := tab.resolve(ways)
		if err != nil {
			t.Fatal(err)
		}
		defer tab.forget(is)
		for i := range n {
			if err := tab.set(is, numbered(i), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		tab.take(math.MaxInt)
	}
	before := heap()
	tell([]wire.Way{{ID: tab.wanted["b"].id}}, n)
	full := heap() - before
	tell(nil, n-kept)
	if left := heap() - before; tab.routes.Len() != kept || left > n*most || full < 4*n*most {
		t.Errorf("%d prefixes left; %d bytes a prefix with the table, %d left", tab.routes.Len(), full/n, left/n)
	}
	runtime.KeepAlive(tab)
}
