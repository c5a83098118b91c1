package child

import "warren/bgp/heap"

// By how many percent the heap may grow before garbage is collected (runtime/debug.SetGCPercent),
// where there is a large table. The tables of GoBGP are millions of objects with pointers: while one comes
// in, a third of the processor time is spent on looking at them again and again. With more
// growth it is less often, for about a tenth more memory. Where several neighbors announce the same
// prefixes, most of the heap is the judges' tables, in which there is nothing to look at. It is not GoBGP's, which is
// given two routes to a prefix, so a collection costs less, and growth is more memory for less. The
// limit of memory counts in any case.
const (
	gcShared = 100
	gcLarge  = 150
)

// shared is how many routes there are for each prefix where most of the heap is the judges'.
const shared = 3

// gcPercent returns what is to count with so many prefixes, to which there are so many routes, where now
// counts.
func gcPercent(now, prefixes, routes int) int {
	switch {
	case prefixes < heap.LargeTable/2:
		return heap.SmallGrowth
	case prefixes < heap.LargeTable:
		return now
	case routes >= shared*prefixes:
		return gcShared
	}
	return gcLarge
}
