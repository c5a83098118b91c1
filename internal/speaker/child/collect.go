package child

import "warren/bgp/heap"

// By how many percent the heap may grow before garbage is collected (runtime/debug.SetGCPercent).
// The tables of GoBGP are millions of objects with pointers: while a large one comes in, a third of
// the processor time is spent on looking at them again and again. With more growth it is less
// often, for about a tenth more memory. Where there is little, that is not worth it: a
// thousand idle neighbors are to be small. The limit of memory counts in any case.
const (
	gcUsual = 100
	gcLarge = 150
)

// gcPercent returns what is to count with so many prefixes, where now counts.
func gcPercent(now, prefixes int) int {
	switch {
	case prefixes >= heap.LargeTable:
		return gcLarge
	case prefixes < heap.LargeTable/2:
		return gcUsual
	}
	return now
}
