package speaker

import "net/netip"

// losses are the owners that lose routes, each with which: nil for all of them, and then the owner is forgotten.
type losses map[*owner]func(netip.Prefix) bool

// all notes that an owner goes.
func (l losses) all(o *owner) { l[o] = nil }

// some notes that an owner loses the routes to those prefixes for which which is true; nil: none.
func (l losses) some(o *owner, which func(netip.Prefix) bool) {
	if which != nil && o.routes > 0 {
		l[o] = which
	}
}

// byPrefix is what becomes of a set if that is not the same for all of its prefixes.
const byPrefix = ^setID(0)

// lose takes the ways away that owners lose, in one pass over the prefixes, however many owners there are: each takes
// tens of milliseconds with a million prefixes, and the daemon waits for it.
func (t *table) lose(gone losses) {
	if len(gone) == 0 {
		return
	}
	next, lost := t.afterwards(gone)
	if lost {
		for p, id := range t.routes.All() {
			switch to := next[id]; to {
			case id:
			case byPrefix:
				if left := t.keep(gone, id, p); len(left) < len(t.sets.all[id].members) {
					to = t.sets.intern(left)
					t.put(p, to)
					t.sets.release(to)
				}
			default:
				t.put(p, to)
			}
		}
	}
	for id, to := range next {
		if to != setID(id) && to != byPrefix {
			t.sets.release(to)
		}
	}
	for o, which := range gone {
		if which == nil {
			delete(t.owners, o.id)
		}
	}
}

// afterwards returns what becomes of each set, by its number, and whether anything does. The sets that others
// become count one prefix more.
func (t *table) afterwards(gone losses) (next []setID, lost bool) {
	next = make([]setID, len(t.sets.all))
	for id := range next { // those that are made here lose nothing
		next[id] = setID(id)
		whole, some := false, false
		for _, m := range t.sets.all[id].members {
			if which, ok := gone[m.o]; ok {
				whole, some = whole || which == nil, some || which != nil
			}
		}
		switch {
		case some:
			next[id], lost = byPrefix, true
		case whole:
			next[id], lost = t.sets.intern(t.keep(gone, setID(id), netip.Prefix{})), true
		}
	}
	return next, lost
}

// keep returns the ways of a set that are left at p, in scratch memory. Of a neighbor that is wanted still, and whose
// routes are refused here, the process is asked again when another policy could let them in.
func (t *table) keep(gone losses, id setID, p netip.Prefix) []member {
	t.members = t.members[:0]
	for _, m := range t.sets.all[id].members {
		switch which, ok := gone[m.o]; {
		case !ok:
			t.members = append(t.members, m)
		case which == nil:
		case which(p):
			m.o.refused = true
		default:
			t.members = append(t.members, m)
		}
	}
	return normal(t.members)
}
