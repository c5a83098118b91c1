package fib

import (
	"hash/maphash"
	"iter"
)

// index finds the places of a table's entries by a hash of their keys: an open-addressing hash
// table with linear probing, which needs 12 to 24 bytes for an entry; a map that repeats the key
// needs twice as many.
type index struct {
	seed  maphash.Seed // hostile peers choose the prefixes
	slots []uint64     // the hash above, place+1 below; 0: free
	count int
}

const minSlots = 16 // a power of two, as all lengths are

func newIndex() index { return index{seed: maphash.MakeSeed(), slots: make([]uint64, minSlots)} }

func (x *index) hash(k key) uint32 {
	var b [17]byte
	copy(b[:], k.addr[:])
	b[16] = k.bits
	return uint32(maphash.Bytes(x.seed, b[:]))
}

func (x *index) mask() uint32 { return uint32(len(x.slots) - 1) }

// candidates yields the places that have a hash.
func (x *index) candidates(hash uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i := hash & x.mask(); x.slots[i] != 0; i = (i + 1) & x.mask() {
			if s := x.slots[i]; uint32(s>>32) == hash && !yield(uint32(s)-1) {
				return
			}
		}
	}
}

// add notes a place, which the index does not have.
func (x *index) add(hash, place uint32) {
	if x.count++; x.count*3 > len(x.slots)*2 {
		before := x.slots
		x.slots = make([]uint64, 2*len(before))
		for _, s := range before {
			if s != 0 {
				x.put(s)
			}
		}
	}
	x.put(uint64(hash)<<32 | uint64(place+1))
}

func (x *index) put(slot uint64) {
	i := uint32(slot>>32) & x.mask()
	for x.slots[i] != 0 {
		i = (i + 1) & x.mask()
	}
	x.slots[i] = slot
}

// remove forgets a place, which the index has. What was put behind it because of it moves up.
func (x *index) remove(hash, place uint32) {
	i := hash & x.mask()
	for x.slots[i] != uint64(hash)<<32|uint64(place+1) {
		i = (i + 1) & x.mask()
	}
	for j := (i + 1) & x.mask(); x.slots[j] != 0; j = (j + 1) & x.mask() {
		home := uint32(x.slots[j]>>32) & x.mask()
		if (j-home)&x.mask() >= (j-i)&x.mask() {
			x.slots[i], i = x.slots[j], j
		}
	}
	x.slots[i] = 0
	x.count--
}
