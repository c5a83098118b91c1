package engine

import (
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
)

// GoBGP 4.8.0 sends a new session its table first, and takes the session for
// established only then. What changes in between is not sent, ever: a route that
// the peer does not get, or one that it keeps. So changes of that time are looked
// for, by the time that they have, and if there were any that concern the
// neighbor it gets its table once more.

// A confirmation is the time in which GoBGP may lose changes for a neighbor.
type confirmation struct {
	from time.Time // when the peer's OPEN had come: before the table is sent
	to   time.Time // when GoBGP was seen to take the session for established; zero: not yet
}

// confirm notes that GoBGP takes n's session for established, or has that looked
// at again soon. opMu is held.
func (s *Speaker) confirm(n *neighbor) {
	switch s.takesForEstablished(n) {
	case notYet:
		s.wakeSoon()
	case yes:
		s.mu.Lock()
		if c := s.confirming[n]; c != nil && c.to.IsZero() {
			c.to = time.Now()
		}
		s.mu.Unlock()
	}
}

// unconfirmed reports whether confirm is to be called. Speaker.mu is held.
func (s *Speaker) unconfirmedLocked(n *neighbor) bool {
	c := s.confirming[n]
	return c != nil && c.to.IsZero() && n.session.state == stateEstablished
}

// lookForMissedLocked marks the neighbors that may have missed a change.
func (s *Speaker) lookForMissedLocked(paths []*apiutil.Path, at time.Time) {
	found := false
	for n, c := range s.confirming {
		if !c.to.IsZero() && at.After(c.to) {
			delete(s.confirming, n)
			continue
		}
		if at.Before(c.from) || n.applied.resetting || n.session.away() {
			continue
		}
		for _, path := range paths {
			if p, ok := prefixOf(path); ok && s.mayExportLocked(n, p) {
				n.applied.resetting, found = true, true
				break
			}
		}
	}
	if found {
		s.wake()
	}
}

// mayExportLocked reports whether a change of p may have to be sent to n.
func (s *Speaker) mayExportLocked(n *neighbor, p netip.Prefix) bool {
	_, is := s.announced[p]
	_, willBe := s.wanted.announced[p]
	// One that is announced no longer may have been.
	return n.Export.Matches(p, is || willBe || s.rib.best[p] == nil)
}
