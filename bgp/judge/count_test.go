package judge

import "testing"

// checkCounts counts again what a session holds, and compares it with what it
// has handed on.
func checkCounts(t testing.TB, s *Session, r *reader) {
	t.Helper()
	c := s.Counts()
	handed := 0
	refs := map[attrID]int{}
	for f := range s.tables {
		tab := &s.tables[f]
		var count FamilyCounts
		queued := map[uint64]bool{}
		for _, w := range tab.queue {
			if tab.waits(w) {
				if queued[w.arrival] {
					t.Fatalf("%v is twice in the queue", w.prefix.netip(f))
				}
				queued[w.arrival] = true
			}
		}
		tab.each(func(p prefix, e entry) {
			count.Received++
			if e.stale() {
				count.Stale++
			}
			refs[e.attrs]++
			switch _, ok := r.routes[p.netip(f)]; e.verdict() {
			case accepted:
				count.Accepted++
				handed++
				if !ok {
					t.Fatalf("%v is accepted, and was not handed on", p.netip(f))
				}
			case waiting:
				count.Refused++
				if !queued[e.arrival()] {
					t.Fatalf("%v waits and is not in the queue", p.netip(f))
				}
				if max := s.cfg.Policy.MaxPrefixes; max == 0 || tab.accepted < max {
					t.Fatalf("%v waits while there is room", p.netip(f))
				}
			}
		})
		for p := range s.loops[f] {
			if _, ok := tab.get(p); ok {
				t.Fatalf("%v has been here before, and is in the table", p.netip(f))
			}
			count.Received++
			count.Looped++
		}
		if hard := s.cfg.Policy.HardMaxPrefixes; hard > 0 && s.err == nil && count.Received-count.Stale > hard {
			t.Fatalf("%d prefixes of family %d are announced, more than %d", count.Received-count.Stale, f, hard)
		}
		if tab.peak < tab.len() {
			t.Fatalf("at most there were %d prefixes, now there are %d", tab.peak, tab.len())
		}
		if c.Families[f] != count {
			t.Fatalf("family %d: counts are %+v, there are %+v", f, c.Families[f], count)
		}
		if len(queued) != count.Refused || len(tab.queue) > 2*count.Refused+64+1 {
			t.Fatalf("%d in the queue, %d wait", len(tab.queue), count.Refused)
		}
	}
	if handed != len(r.routes) {
		t.Fatalf("%d are accepted, %d were handed on", handed, len(r.routes))
	}
	bytes := 0
	for id := range refs {
		if s.attrs.sets[id].refs != refs[id] {
			t.Fatalf("attributes are referred to %d times, not %d", refs[id], s.attrs.sets[id].refs)
		}
		bytes += len(s.attrs.blob(id))
	}
	if len(refs) != len(s.attrs.ids) || bytes != s.attrs.bytes || len(s.attrs.sets) != len(s.attrs.ids)+len(s.attrs.free) {
		t.Fatalf("%d sets of attributes, %d referred to", len(s.attrs.ids), len(refs))
	}
	if len(c.Last) > maxNote || c.Last != printable(c.Last) {
		t.Fatalf("last is %q", c.Last)
	}
}
