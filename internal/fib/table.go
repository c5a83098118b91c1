package fib

import (
	"bytes"
	"cmp"
	"iter"
	"net/netip"
)

// key is a prefix without pointers, which netip.Prefix has.
type key struct {
	addr [16]byte // IPv4 addresses as IPv4-mapped ones
	bits uint8    // of an IPv6 prefix 1 to 129, of an IPv4 one 130 to 162: its length and one more, or 130 more; 0: none
}

const firstIPv4 = 130 // what bits is for 0.0.0.0/0

// keyFor returns the key of a valid prefix.
func keyFor(p netip.Prefix) key {
	k := key{addr: p.Addr().As16(), bits: uint8(p.Bits() + 1)}
	if p.Addr().Is4() {
		k.bits = uint8(p.Bits() + firstIPv4)
	}
	return k
}

func (k key) prefix() netip.Prefix {
	if k.bits >= firstIPv4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(k.addr[12:])), int(k.bits-firstIPv4))
	}
	return netip.PrefixFrom(netip.AddrFrom16(k.addr), int(k.bits)-1)
}

// family numbers the two families.
func (k key) family() int {
	if k.bits >= firstIPv4 {
		return 0
	}
	return 1
}

// compare orders keys as netip.Prefix.Compare does prefixes.
func (k key) compare(other key) int {
	if k.family() != other.family() {
		return cmp.Compare(k.family(), other.family())
	}
	return cmp.Or(bytes.Compare(k.addr[:], other.addr[:]), cmp.Compare(k.bits, other.bits))
}

// table holds entries by key. None of its memory has pointers, so that the garbage collector
// does not look at a million entries. An entry stays where it is until it is removed,
// or compact is called.
type table struct {
	index    index
	chunks   []*[chunkSize]entry
	used     uint32   // places that are or were used
	free     []uint32 // those of them that are not any more
	compacts int      // how often entries have moved
}

const chunkSize = 1024

func newTable() table { return table{index: newIndex()} }

func (t *table) place(i uint32) *entry { return &t.chunks[i/chunkSize][i%chunkSize] }

// get returns the entry of a key, nil if there is none.
func (t *table) get(k key) *entry {
	for i := range t.index.candidates(t.index.hash(k)) {
		if e := t.place(i); e.key == k {
			return e
		}
	}
	return nil
}

// make returns the entry of a key, a new one if there is none.
func (t *table) make(k key) *entry {
	if e := t.get(k); e != nil {
		return e
	}
	i := t.used
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		if t.used++; i/chunkSize == uint32(len(t.chunks)) {
			t.chunks = append(t.chunks, new([chunkSize]entry))
		}
	}
	t.index.add(t.index.hash(k), i)
	e := t.place(i)
	e.key = k
	return e
}

func (t *table) remove(e *entry) {
	h := t.index.hash(e.key)
	for i := range t.index.candidates(h) {
		if t.place(i) == e {
			t.index.remove(h, i)
			t.free = append(t.free, i)
			*e = entry{}
			return
		}
	}
}

// all yields the entries. They may be removed meanwhile; one that is made may be missed.
func (t *table) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := uint32(0); i < t.used; i++ {
			if e := t.place(i); e.key.bits != 0 && !yield(e) {
				return
			}
		}
	}
}

// walkStep is how many places a walk looks at between two pauses.
const walkStep = 4096

// walk calls each for all entries, and pause now and then. Meanwhile entries may be removed, and in a pause all may
// move, or others be made. An entry that is there all the time is visited, some more than once.
func (t *table) walk(pause func(), each func(*entry)) {
	for i, moved := uint32(0), t.compacts; i < t.used; {
		if e := t.place(i); e.key.bits != 0 {
			each(e)
		}
		if i++; i%walkStep != 0 {
			continue
		}
		if pause(); t.compacts != moved { // those to come may have moved to where the walk has been
			i, moved = 0, t.compacts
		}
	}
}

// isSparse reports whether most of the memory is for entries that are gone.
func (t *table) isSparse() bool { return t.used > chunkSize && t.used-uint32(len(t.free)) < t.used/4 }

// compact moves all entries, into as much memory as they need.
func (t *table) compact() {
	next := newTable()
	next.compacts = t.compacts + 1
	for e := range t.all() {
		*next.make(e.key) = *e
	}
	*t = next
}
