package fib

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPictureAgainstModel compares the picture with a plain set of routes.
func TestPictureAgainstModel(t *testing.T) {
	type key struct {
		prefix netip.Prefix
		held   held
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	p := newPicture(&Config{})
	model := make(map[key]bool)
	for range 20_000 {
		k := key{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(4))}), 32),
			held{metric: uint32(rnd.IntN(2)), index: uint32(rnd.IntN(3)), typ: unix.RTN_UNICAST},
		}
		switch rnd.IntN(8) {
		case 0, 1, 2, 3:
			p.add(k.prefix, k.held)
			model[k] = true
		case 4, 5, 6:
			if got := p.remove(k.prefix, k.held); got != model[k] {
				t.Fatalf("remove(%v) = %v", k, got)
			}
			if e := p.known(k.prefix); e != nil {
				p.tidy(e)
			}
			delete(model, k)
		case 7:
			for e := range p.entries.all() {
				p.removeIf(e, func(n node) bool { return n.index == k.held.index })
				p.tidy(e)
			}
			for m := range model {
				if m.held.index == k.held.index {
					delete(model, m)
				}
			}
		}
		onLink := 0
		for _, n := range p.onLink {
			onLink += n
		}
		if p.count != len(model) || onLink != len(model) {
			t.Fatalf("count %d, by link %d; want %d", p.count, onLink, len(model))
		}
		for m := range model {
			if e := p.known(m.prefix); e == nil || !p.has(e, m.held) {
				t.Fatalf("%v is missing", m)
			}
		}
	}
	for e := range p.entries.all() {
		if e.first.typ == 0 {
			t.Errorf("%s has an entry that says nothing", e.key.prefix())
		}
	}
}
