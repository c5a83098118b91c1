package fib

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"unsafe"
)

// TestTableAgainstMap makes and removes entries at random, of both families, and compares
// with a map.
func TestTableAgainstMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	table, model := newTable(), map[netip.Prefix]uint32{}
	prefix := func() netip.Prefix {
		i := rnd.IntN(5000)
		if rnd.IntN(2) == 0 {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 24)
		}
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 255, 11: 255, 12: 10, 13: byte(i >> 8), 14: byte(i)}), 120)
	}
	for round := range 90_000 {
		p := prefix()
		e := table.get(keyFor(p))
		if want, ok := model[p]; ok != (e != nil) || ok && e.want != want {
			t.Fatalf("%s: %+v, want %d, %v", p, e, want, ok)
		}
		switch {
		case round%30_000 < 10_000:
			table.make(keyFor(p)).want = uint32(round)
			model[p] = uint32(round)
		case e != nil:
			table.remove(e)
			delete(model, p)
		}
		if table.isSparse() {
			table.compact()
		}
	}
	var got, want []netip.Prefix
	for e := range table.all() {
		got = append(got, e.key.prefix())
	}
	for p := range model {
		want = append(want, p)
	}
	slices.SortFunc(got, netip.Prefix.Compare)
	slices.SortFunc(want, netip.Prefix.Compare)
	if !slices.Equal(got, want) || table.compacts == 0 {
		t.Errorf("%d entries after moving %d times; want %d", len(got), table.compacts, len(want))
	}
}

// TestWalkMissesNothing: a walk visits all entries that stay, wherever they move to in a pause.
func TestWalkMissesNothing(t *testing.T) {
	const count, stay = 3 * walkStep, 100 // at the end, of which the first moves to place 0
	nth := func(i int) key {
		return keyFor(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	for _, pauses := range []int{1, 2} { // when they move
		table, seen, paused := newTable(), map[key]int{}, 0
		for i := range count {
			table.make(nth(i))
		}
		table.walk(func() {
			if paused++; paused != pauses {
				return
			}
			for i := range count - stay {
				table.remove(table.get(nth(i)))
			}
			table.compact()
			if table.place(0).key != nth(count-stay) {
				t.Fatal("it has not moved to place 0: this test proves nothing")
			}
		}, func(e *entry) { seen[e.key]++ })
		for i := count - stay; i < count; i++ {
			if seen[nth(i)] != 1 {
				t.Errorf("moved in pause %d: prefix %d of those that stay was visited %d times", pauses, i-count+stay, seen[nth(i)])
			}
		}
		if want := pauses*walkStep + stay; len(seen) != want {
			t.Errorf("moved in pause %d: %d entries were visited, want %d", pauses, len(seen), want)
		}
	}
}

// TestKeyOrder: keys are ordered as prefixes are.
func TestKeyOrder(t *testing.T) {
	var all []netip.Prefix
	for _, text := range []string{"::/0", "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "255.255.255.255/32",
		"::ffff:10.0.0.0/104", "2001:db8::/32", "2001:db8::/48", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"} {
		all = append(all, netip.MustParsePrefix(text))
	}
	for _, a := range all {
		if got := keyFor(a).prefix(); got != a {
			t.Errorf("%s has become %s", a, got)
		}
		for _, b := range all {
			if got, want := keyFor(a).compare(keyFor(b)), a.Compare(b); got != want {
				t.Errorf("%s and %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

// TestEntriesAreSmall: what many prefixes take of memory is bounded, and given back.
func TestEntriesAreSmall(t *testing.T) {
	const count = 300_000
	if size := unsafe.Sizeof(entry{}); size > 48 {
		t.Errorf("an entry has %d bytes", size)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	p := newPicture(&Config{})
	nth := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	before := heap()
	for i := range count {
		p.add(nth(i), held{metric: 20, index: 7, typ: 1})
	}
	full := heap() - before
	if each := full / count; each > 80 {
		t.Errorf("%d bytes for each prefix", each)
	}
	for i := range count {
		e := p.entries.get(keyFor(nth(i)))
		p.removeFrom(e, held{metric: 20, index: 7, typ: 1})
		p.tidy(e)
	}
	p.shrink()
	if left := int64(heap()) - int64(before); left > int64(full/20) {
		t.Errorf("%d bytes are left of %d", left, full)
	}
	t.Logf("%d bytes for each prefix", full/count)
	runtime.KeepAlive(p)
}
