package bgp

import (
	"cmp"
	"net/netip"
	"slices"
)

// A ledger keeps account of what one neighbor announces in one family: which
// prefixes its import policy accepts, and which of those are refused because
// they came when the prefix limit was reached. Speaker.mu guards it.
type ledger struct {
	entries  map[netip.Prefix]entry
	accepted int
	refused  int
	arrivals uint64

	// narrowed says that GoBGP has been told to accept exactly the accepted
	// prefixes of this ledger instead of what the import policy says.
	narrowed bool
}

type entry struct {
	arrival uint64 // lower came earlier
	verdict verdict
}

type verdict uint8

const (
	filtered verdict = iota // by the import policy
	refused                 // by the limit
	accepted
)

func newLedger() ledger { return ledger{entries: make(map[netip.Prefix]entry)} }

// accepts reports whether p may be used.
func (l *ledger) accepts(p netip.Prefix) bool { return l.entries[p].verdict == accepted }

// announce enters p. While others wait for room p queues up behind them, as it
// does while GoBGP's policy is narrowed and would not let it in.
func (l *ledger) announce(p netip.Prefix, imported bool, limit int) {
	if _, ok := l.entries[p]; ok {
		return // an implicit replacement changes nothing here
	}
	l.arrivals++
	e := entry{arrival: l.arrivals}
	switch {
	case !imported:
	case limit == 0 || l.accepted < limit && l.refused == 0 && !l.narrowed:
		e.verdict = accepted
	default:
		e.verdict = refused
	}
	l.put(p, e)
}

// withdraw takes p out.
func (l *ledger) withdraw(p netip.Prefix) {
	l.put(p, entry{})
	delete(l.entries, p)
}

// put sets p's entry and keeps the counts.
func (l *ledger) put(p netip.Prefix, e entry) {
	l.count(l.entries[p].verdict, -1)
	l.count(e.verdict, 1)
	l.entries[p] = e
}

func (l *ledger) count(v verdict, by int) {
	switch v {
	case accepted:
		l.accepted += by
	case refused:
		l.refused += by
	}
}

// needsWork reports whether settle, and GoBGP's policy after it, would change.
func (l *ledger) needsWork(limit int) bool {
	if l.narrowed {
		return l.refused == 0 || limit == 0 || l.accepted < limit
	}
	return l.refused > 0
}

// settle gives free room to those who have waited longest, and decides whether
// GoBGP's policy has to be narrow. It returns the prefixes that got in.
func (l *ledger) settle(limit int) []netip.Prefix {
	room := l.refused
	if limit > 0 {
		room = min(room, limit-l.accepted)
	}
	var in []netip.Prefix
	if room > 0 {
		in = l.waiting()[:room]
		for _, p := range in {
			l.put(p, entry{l.entries[p].arrival, accepted})
		}
	}
	l.narrowed = l.refused > 0
	return in
}

// waiting returns the refused prefixes in order of arrival.
func (l *ledger) waiting() []netip.Prefix {
	waiting := make([]netip.Prefix, 0, l.refused)
	for p, e := range l.entries {
		if e.verdict == refused {
			waiting = append(waiting, p)
		}
	}
	l.sort(waiting)
	return waiting
}

func (l *ledger) sort(ps []netip.Prefix) {
	slices.SortFunc(ps, func(a, b netip.Prefix) int {
		return cmp.Compare(l.entries[a].arrival, l.entries[b].arrival)
	})
}

// judge applies another policy and limit to what is there. The accepted ones
// that still pass come first, then the others in order of arrival. It returns
// the prefixes whose acceptance changed.
func (l *ledger) judge(imports func(netip.Prefix) bool, limit int) (changed []netip.Prefix) {
	var stay, join []netip.Prefix
	before := make(map[netip.Prefix]bool, l.accepted)
	for p, e := range l.entries {
		before[p] = e.verdict == accepted
		switch {
		case !imports(p):
			l.put(p, entry{e.arrival, filtered})
		case e.verdict == accepted:
			stay = append(stay, p)
		default:
			join = append(join, p)
		}
	}
	l.sort(stay)
	l.sort(join)
	for i, p := range append(stay, join...) {
		v := accepted
		if limit > 0 && i >= limit {
			v = refused
		}
		l.put(p, entry{l.entries[p].arrival, v})
	}
	for p, was := range before {
		if was != l.accepts(p) {
			changed = append(changed, p)
		}
	}
	l.narrowed = l.refused > 0
	return changed
}

// exact returns the filters that match the accepted prefixes and no other.
func (l *ledger) exact() []Filter {
	filters := make([]Filter, 0, l.accepted)
	for p, e := range l.entries {
		if e.verdict == accepted {
			filters = append(filters, Filter{Prefix: p})
		}
	}
	return filters
}
