package byprefix

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
)

// random are prefixes of both families, of which many come twice, and some differ in their
// length alone or are IPv4-mapped.
func random(r *rand.Rand) netip.Prefix {
	a := [16]byte{10: 0xff, 11: 0xff, 12: byte(r.IntN(2) * 255), 14: byte(r.IntN(40)), 15: byte(r.IntN(8))}
	switch addr := netip.AddrFrom16(a); r.IntN(3) {
	case 0:
		return netip.PrefixFrom(addr.Unmap(), r.IntN(33))
	case 1:
		return netip.PrefixFrom(addr, r.IntN(129))
	default:
		a[0], a[7], a[8] = 0x20, byte(r.IntN(3)), byte(r.IntN(3))
		return netip.PrefixFrom(netip.AddrFrom16(a), r.IntN(129))
	}
}

// TestMap compares a Map with one of Go's.
func TestMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var m Map[int]
	model := map[netip.Prefix]int{}
	same := func(when string) {
		t.Helper()
		if got := maps.Collect(m.All()); !maps.Equal(got, model) || m.Len() != len(model) {
			t.Fatalf("%s: %d prefixes, %d counted, want %d", when, len(got), m.Len(), len(model))
		}
	}
	for round := range 20 {
		for i := range 20 * leastShrunk {
			p := random(r)
			if r.IntN(20) < round {
				m.Delete(p)
				delete(model, p)
			} else {
				m.Set(p, i)
				model[p] = i
			}
			v, ok := m.Find(p)
			want, there := model[p]
			if v != want || ok != there || m.Get(p) != want || m.Has(p) != there {
				t.Fatalf("%v: %v %v, want %v %v", p, v, ok, want, there)
			}
		}
		same("after a round")
	}
	for p := range model {
		if !m.Has(p) {
			t.Fatalf("no %v", p)
		}
		m.Delete(p)
		delete(model, p)
		m.Delete(p)
	}
	same("empty")
}

// TestMapChangesWhileWalked takes out what has not been yielded yet: it is not yielded any more,
// although the map is worth being made smaller meanwhile.
func TestMapChangesWhileWalked(t *testing.T) {
	var m Map[int]
	for i := range 16 * leastShrunk {
		m.Set(numbered(i), i)
	}
	yielded := 0
	for p, i := range m.All() {
		if !m.Has(p) || m.Get(p) != i {
			t.Fatalf("%v is yielded, and is not there", p)
		}
		yielded++
		m.Delete(p)
		m.Delete(numbered((i + 1) % (16 * leastShrunk)))
		m.Delete(numbered((i + 2) % (16 * leastShrunk)))
	}
	if m.Len() != 0 || yielded == 0 {
		t.Errorf("%d yielded, %d left", yielded, m.Len())
	}
}

// TestMapGivesMemoryBack compares the heap with a table and without it.
func TestMapGivesMemoryBack(t *testing.T) {
	const n = 100_000
	heap := func() int {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int(s.HeapAlloc)
	}
	var m Map[uint32]
	before := heap()
	for i := range n {
		m.Set(numbered(i), uint32(i))
	}
	full := heap() - before
	if full < n || full > 60*n {
		t.Errorf("%d bytes a prefix", full/n)
	}
	for i := range n - 10 {
		m.Delete(numbered(i))
	}
	if left := heap() - before; left > full/8 {
		t.Errorf("%d bytes are left of %d", left, full)
	}
	if m.Len() != 10 || m.Get(numbered(n-1)) != n-1 {
		t.Errorf("%d prefixes are left", m.Len())
	}
	runtime.KeepAlive(&m)
}

func numbered(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}
