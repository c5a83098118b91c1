package engine

import "time"

// The first route to a prefix is told when GoBGP has said that it has it: it says so a moment later, and a large table would be told
// twice. GoBGP says nothing where nothing has changed for it, as where it still had the same route of an earlier session, or
// has a better one that is not known here. So where it has been silent for a while and routes wait for its word, they are told
// without: what the judges have accepted is good.

// heardWithin is for how long GoBGP says nothing, and the judges hand nothing on, before that is done. A GoBGP that is only slow
// may be so for longer, and its routes are told twice.
const heardWithin = 30 * time.Second

// tellUnheardLocked has the routes count as changed of which GoBGP does not say anything, and reports whether there are any.
func (s *Speaker) tellUnheardLocked(now time.Time) bool {
	if !s.rib.unheard || now.Sub(s.moved) < heardWithin {
		return false
	}
	return s.rib.tellUnheard()
}

// tellUnheard is the rib's part of that.
func (r *rib) tellUnheard() (told bool) {
	r.unheard = false
	silent, any := make([]bool, len(r.sets)), false
	for id := range r.sets {
		set := &r.sets[id]
		silent[id] = set.best == nil && len(set.all) > 0
		any = any || silent[id]
	}
	if !any {
		return false
	}
	for p, id := range r.known.All() {
		if silent[id] {
			r.changed.Set(p, struct{}{})
			told = true
		}
	}
	return told
}
