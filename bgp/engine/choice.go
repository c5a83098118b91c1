package engine

import (
	"net/netip"
	"slices"

	"warren/bgp"
	"warren/bgp/judge"
)

// GoBGP is not given routes that cannot become its best ones before two others are gone. It
// takes a quarter of a kilobyte and some microseconds for each path, and needs none but the best: other
// neighbors are told that one alone, and the ways to a prefix come from the judges (ways.go). The
// second best is given to it too, so that when the best is lost it has the next at once, and
// neighbors do not see a prefix go and come again.
//
// A route is withheld if at least two that GoBGP is given are better, or compare alike and were
// there before. Whenever one of those changes or goes, what is withheld of the prefix is looked at
// again. Speaker.mu guards who is given; what GoBGP really was told only the judges know, which say
// nothing twice and withdraw nothing that was not announced.

// givenAtLeast is how many routes to a prefix GoBGP is given, if there are as many.
const givenAtLeast = 2

// mayBeBest reports whether GoBGP is to be given n's route to p, where it is given those of others.
func (r *rib) mayBeBest(n *neighbor, p netip.Prefix, given []*neighbor) bool {
	if len(given) < givenAtLeast {
		return true
	}
	if n.session.conn == nil {
		return false
	}
	c := candidate{n: n}
	var ok bool
	if c.attrs, ok = n.session.conn.attributes(p); !ok {
		return false // it was withdrawn meanwhile
	}
	better := 0
	for _, other := range given {
		if other == n || other.session.conn == nil {
			continue
		}
		o := candidate{n: other}
		if o.attrs, ok = other.session.conn.attributes(p); !ok {
			continue
		}
		// Of two that are alike over eBGP GoBGP prefers the one that was there before; over iBGP
		// only GoBGP knows which it prefers.
		if how, at := o.compare(&c, r.asn); how < 0 || how == 0 && at == bgp.StepAge {
			better++
		}
	}
	return better < givenAtLeast
}

// reviewPrefix finds out what of the routes to p is to be given now, and notes it in to.
func (r *rib) reviewPrefix(p netip.Prefix, to map[*neighbor][]netip.Prefix) {
	id := r.known.Get(p)
	set := r.sets[id]
	if len(set.given) == len(set.all) {
		return
	}
	r.candidates = r.candidates[:0]
	for _, n := range set.all {
		if _, gave := slices.BinarySearchFunc(set.given, n, byNumber); !gave && n.session.conn != nil {
			if attrs, ok := n.session.conn.attributes(p); ok {
				r.candidates = append(r.candidates, candidate{n: n, attrs: attrs})
			}
		}
	}
	slices.SortStableFunc(r.candidates, func(a, b candidate) int { c, _ := a.compare(&b, r.asn); return c })
	given := set.given
	for i := range r.candidates {
		if n := r.candidates[i].n; r.mayBeBest(n, p, given) {
			given = r.with(&r.given, given, n)
			to[n] = append(to[n], p)
		}
	}
	clear(r.candidates) // refers to the judges' memory
	if len(given) != len(set.given) {
		r.put(p, id, r.intern(set.best, set.all, given))
	}
}

// reviewLocked looks at what is in rib.review, at most prefixes of it; another goroutine sees to the
// rest.
func (s *Speaker) reviewLocked(most int) {
	if s.rib.review.Len() == 0 {
		return
	}
	to := make(map[*neighbor][]netip.Prefix)
	for p := range s.rib.review.All() {
		if most--; most < 0 {
			break
		}
		s.rib.reviewPrefix(p, to)
		s.rib.review.Delete(p)
	}
	for n, prefixes := range to {
		n.session.conn.handOn(prefixes)
	}
	if s.rib.review.Len() > 0 {
		s.reviewSoon()
	}
}

func (s *Speaker) reviewSoon() {
	select {
	case s.reviewing <- struct{}{}:
	default:
	}
}

// reviewAtOnce is how many prefixes reviewLoop looks at before others may have Speaker.mu.
const reviewAtOnce = 1024

// reviewLoop works until the speaker stops.
func (s *Speaker) reviewLoop() {
	for {
		select {
		case <-s.reviewing:
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		s.reviewLocked(reviewAtOnce)
		s.mu.Unlock()
	}
}

// dropHeldLocked forgets what n's judge accepts. Others take the place of what GoBGP was given of it.
func (s *Speaker) dropHeldLocked(n *neighbor) {
	s.rib.dropHeld(n)
	if s.rib.review.Len() > 0 {
		s.reviewSoon()
	}
}

// dropRoutesLocked forgets all routes of some neighbors, as dropBest and dropHeldLocked do of one.
func (s *Speaker) dropRoutesLocked(gone map[*neighbor]struct{}) {
	s.rib.drop(gone)
	if s.rib.review.Len() > 0 {
		s.reviewSoon()
	}
}

// settle hands on what is announced in moves and not withheld, in order. Speaker.mu is held.
func (c *peerConn) settle(moves []move) {
	var give, withhold []netip.Prefix
	for _, m := range moves {
		switch {
		case !m.announced:
		case m.withheld:
			withhold = append(withhold, m.prefix)
		default:
			give = append(give, m.prefix)
		}
	}
	c.tell(func(j *judge.Session, out []byte) []byte { return j.HandOn(j.Withhold(out, withhold), give) })
}

// handOn has GoBGP read routes that were withheld. Speaker.mu is held.
func (c *peerConn) handOn(prefixes []netip.Prefix) {
	c.tell(func(j *judge.Session, out []byte) []byte { return j.HandOn(out, prefixes) })
}

// finish has GoBGP read the End-of-RIB markers behind which nothing is undecided.
func (c *peerConn) finish() {
	c.tell(func(j *judge.Session, out []byte) []byte {
		if len(c.moves) > 0 {
			return out
		}
		return j.Markers(out)
	})
}

// tell has GoBGP read what f appends, unless it is to read no more.
func (c *peerConn) tell(f func(j *judge.Session, out []byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil || c.closed.Load() {
		return
	}
	if len(c.out) == 0 {
		c.out = c.base
	}
	before := len(c.out)
	c.out = f(c.judge, c.out)
	if before == 0 {
		c.base = c.out[:0]
	}
	if len(c.out) > before {
		c.wakeLocked()
	}
}
