// Package byprefix has maps for tables of routes, of which a router may have a million.
package byprefix

import (
	"encoding/binary"
	"iter"
	"net/netip"
)

// A Map has values by prefix. Compared with a map of netip.Prefix it takes half the memory for
// IPv4. If there is no pointer in V there is none in the map, so that the garbage collector does
// not look into it. And it gives memory back when most of its prefixes are gone, which a map of
// Go's never does.
//
// The zero Map is empty and ready. It is not safe for concurrent use, All included. Prefixes have to
// be valid; they are not masked.
type Map[V any] struct {
	v4      map[uint64]V // the address in the upper half of 40 bits, its length in the lowest 8
	v6      map[key6]V   // IPv4-mapped addresses too
	peak    int          // the most prefixes since the maps were made
	walking int          // calls of All at work, which have the maps as they are
}

type key6 struct {
	high, low uint64
	bits      uint8
}

// leastShrunk is the number of prefixes below which a map is not worth being made smaller, and
// shrinkTo the part of what there was that is left when it is.
const (
	leastShrunk = 1024
	shrinkTo    = 8
)

func key4(p netip.Prefix) uint64 {
	a := p.Addr().As4()
	return uint64(binary.BigEndian.Uint32(a[:]))<<8 | uint64(p.Bits())
}

func prefix4(k uint64) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(k>>8))
	return netip.PrefixFrom(netip.AddrFrom4(a), int(k&0xff))
}

func keyOf6(p netip.Prefix) key6 {
	a := p.Addr().As16()
	return key6{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]), uint8(p.Bits())}
}

func (k key6) prefix() netip.Prefix {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], k.high)
	binary.BigEndian.PutUint64(a[8:], k.low)
	return netip.PrefixFrom(netip.AddrFrom16(a), int(k.bits))
}

// Len returns how many prefixes there are.
func (m *Map[V]) Len() int { return len(m.v4) + len(m.v6) }

// Get returns the value of p, and the zero value if there is none.
func (m *Map[V]) Get(p netip.Prefix) V {
	v, _ := m.Find(p)
	return v
}

// Has reports whether p is in the map.
func (m *Map[V]) Has(p netip.Prefix) bool {
	_, ok := m.Find(p)
	return ok
}

// Find returns the value of p, and whether there is one.
func (m *Map[V]) Find(p netip.Prefix) (v V, ok bool) {
	if p.Addr().Is4() {
		v, ok = m.v4[key4(p)]
	} else {
		v, ok = m.v6[keyOf6(p)]
	}
	return v, ok
}

// Set sets the value of p.
func (m *Map[V]) Set(p netip.Prefix, v V) {
	if p.Addr().Is4() {
		if m.v4 == nil {
			m.v4 = make(map[uint64]V)
		}
		m.v4[key4(p)] = v
	} else {
		if m.v6 == nil {
			m.v6 = make(map[key6]V)
		}
		m.v6[keyOf6(p)] = v
	}
	m.peak = max(m.peak, m.Len())
}

// Delete takes p out.
func (m *Map[V]) Delete(p netip.Prefix) {
	if p.Addr().Is4() {
		delete(m.v4, key4(p))
	} else {
		delete(m.v6, keyOf6(p))
	}
	m.shrink()
}

// All yields all prefixes, in any order. Meanwhile any may be set or taken out; one that is new
// may be missed.
func (m *Map[V]) All() iter.Seq2[netip.Prefix, V] {
	return func(yield func(netip.Prefix, V) bool) {
		m.walking++
		defer func() {
			m.walking--
			m.shrink()
		}()
		for k, v := range m.v4 {
			if !yield(prefix4(k), v) {
				return
			}
		}
		for k, v := range m.v6 {
			if !yield(k.prefix(), v) {
				return
			}
		}
	}
}

// shrink makes new maps if most of what was in them is gone.
func (m *Map[V]) shrink() {
	if m.walking > 0 || m.peak < leastShrunk || m.Len() > m.peak/shrinkTo {
		return
	}
	m.v4, m.v6, m.peak = again(m.v4), again(m.v6), m.Len()
}

func again[K comparable, V any](was map[K]V) map[K]V {
	if len(was) == 0 {
		return nil
	}
	is := make(map[K]V, len(was))
	for k, v := range was {
		is[k] = v
	}
	return is
}
