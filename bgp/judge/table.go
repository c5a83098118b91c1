package judge

import "slices"

// A table has the prefixes of one family that the peer announces now.
//
// Those that wait for room, because MaxPrefixes was reached when they came, are
// in queue in order of arrival. An item whose prefix was withdrawn or let in
// stays in queue until it comes to its front, or until such items are more than
// half.
type table struct {
	family   int
	v4       map[uint64]entry // by address and length, see key4
	v6       map[prefix]entry
	arrivals uint64 // prefixes that ever came
	accepted int
	refused  int
	stale    int
	peak     int // most entries since the map was made

	queue []waiter
}

// An entry is what is known of a prefix: arrival, whether it was handed on or is stale and verdict
// in one word, and its attributes. There is no pointer in it, so that the garbage collector does
// not look into the tables.
type entry struct {
	word  uint64 // arrival << arrivalShift | handed | stale | verdict; lower arrivals came earlier
	attrs attrID
}

type verdict uint8

const (
	filtered verdict = iota // by Policy.Accept
	waiting                 // passed it, but over MaxPrefixes
	accepted                // handed on
)

type waiter struct {
	prefix  prefix
	arrival uint64
}

// staleBit marks a route of a connection that was lost, which the peer has not
// announced since (see stale.go).
const staleBit = 4

// handedBit marks, with Config.Choose, an accepted route that was handed on (see handon.go).
const handedBit = 8

const arrivalShift = 4

func (e entry) verdict() verdict { return verdict(e.word & 3) }
func (e entry) stale() bool      { return e.word&staleBit != 0 }
func (e entry) handed() bool     { return e.word&handedBit != 0 }
func (e entry) arrival() uint64  { return e.word >> arrivalShift }

// with returns e with another verdict.
func (e entry) with(v verdict) entry {
	e.word = e.word&^3 | uint64(v)
	return e
}

func newTable(family int) table {
	t := table{family: family}
	t.clear()
	return t
}

func (t *table) clear() {
	if t.family == IPv4 {
		t.v4 = make(map[uint64]entry)
	} else {
		t.v6 = make(map[prefix]entry)
	}
	t.peak = 0
}

// key4 packs an IPv4 prefix: the lower half of hi is zero.
func key4(p prefix) uint64 { return p.hi | p.bits }

func fromKey4(k uint64) prefix { return prefix{hi: k &^ 0xff, bits: k & 0xff} }

func (t *table) len() int { return len(t.v4) + len(t.v6) }

func (t *table) get(p prefix) (entry, bool) {
	if t.family == IPv4 {
		e, ok := t.v4[key4(p)]
		return e, ok
	}
	e, ok := t.v6[p]
	return e, ok
}

// replace sets the entry of p without counting.
func (t *table) replace(p prefix, e entry) {
	if t.family == IPv4 {
		t.v4[key4(p)] = e
	} else {
		t.v6[p] = e
	}
}

// set sets the entry of a prefix that has another verdict now.
func (t *table) set(p prefix, e entry) {
	old, _ := t.get(p)
	t.count(old.verdict(), -1)
	t.count(e.verdict(), 1)
	t.replace(p, e)
}

func (t *table) count(v verdict, by int) {
	switch v {
	case waiting:
		t.refused += by
	case accepted:
		t.accepted += by
	}
}

// add adds a prefix that is not there yet.
func (t *table) add(p prefix, id attrID, v verdict) {
	t.arrivals++
	t.replace(p, entry{t.arrivals<<arrivalShift | uint64(v), id})
	t.count(v, 1)
	t.peak = max(t.peak, t.len())
	if v == waiting {
		t.queue = append(t.queue, waiter{p, t.arrivals})
		t.tidy()
	}
}

// delete takes out p, whose entry is e.
func (t *table) delete(p prefix, e entry) {
	t.count(e.verdict(), -1)
	if e.stale() {
		t.stale--
	}
	if t.family == IPv4 {
		delete(t.v4, key4(p))
	} else {
		delete(t.v6, p)
	}
	if t.peak > minShrink && t.len() < t.peak/8 {
		t.shrink()
	}
}

// minShrink is the size below which a table is not worth being made smaller.
const minShrink = 1024

// shrink makes new maps: a map never gives memory back by itself.
func (t *table) shrink() {
	v4, v6 := t.v4, t.v6
	t.clear()
	for k, e := range v4 {
		t.v4[k] = e
	}
	for k, e := range v6 {
		t.v6[k] = e
	}
	t.peak = t.len()
	t.queue = slices.Clone(t.alive())
}

// waits reports whether an item of queue still stands for its prefix.
func (t *table) waits(w waiter) bool {
	e, ok := t.get(w.prefix)
	return ok && e.verdict() == waiting && e.arrival() == w.arrival
}

// next takes the prefix off that has waited longest. There must be one.
func (t *table) next() (prefix, entry) {
	for {
		w := t.queue[0]
		if t.queue = t.queue[1:]; len(t.queue) == 0 {
			t.queue = nil // gives the memory back
		}
		if t.waits(w) {
			e, _ := t.get(w.prefix)
			return w.prefix, e
		}
	}
}

// tidy takes out of queue what does not wait any more, if it is the larger part.
func (t *table) tidy() {
	if len(t.queue) > 2*t.refused+64 {
		t.queue = t.alive()
	}
}

// alive returns the items of queue that still wait, in its place.
func (t *table) alive() []waiter {
	kept := t.queue[:0]
	for _, w := range t.queue {
		if t.waits(w) {
			kept = append(kept, w)
		}
	}
	return kept
}

// each calls f with every entry; f may set that entry.
func (t *table) each(f func(prefix, entry)) {
	for k, e := range t.v4 {
		f(fromKey4(k), e)
	}
	for p, e := range t.v6 {
		f(p, e)
	}
}

// byArrival sorts in order of arrival.
func byArrival(ws []waiter) {
	slices.SortFunc(ws, func(a, b waiter) int {
		if a.arrival < b.arrival {
			return -1
		}
		return 1
	})
}
