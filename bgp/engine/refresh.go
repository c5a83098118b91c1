package engine

import "time"

// For each ROUTE-REFRESH (RFC 2918) GoBGP puts together all routes of a family and queues them, without a bound
// and whether the peer reads or not, and nothing else goes out to the peer meanwhile. So the judge hands on one of
// a family, and remembers that more have come. The next one follows when GoBGP has written all of the
// table that it was asked for, as its End-of-RIB marker says. GoBGP writes markers where both ends speak of graceful
// restart; elsewhere the next one follows a while later, when the peer has acknowledged all that was written.
const (
	refreshPause    = 5 * time.Second // at least between two of a family, since a table is dear to put together
	refreshPatience = 2 * refreshPause
)

// A refresh is a ROUTE-REFRESH that was handed on. peerConn.mu guards it.
type refresh struct {
	since  time.Time // zero: there is none
	marked bool      // GoBGP has written an End-of-RIB marker since
}

// noteRefreshesLocked notes what the judge has handed on.
func (c *peerConn) noteRefreshesLocked(now time.Time) {
	for f, is := range c.judge.Refreshing() {
		if is && c.refreshes[f].since.IsZero() {
			c.refreshes[f].since = now
		}
	}
}

// tableWritten notes that GoBGP has written all of a table of the family, and reports whether it counts as that of a
// ROUTE-REFRESH. While another table is under way (defer.go) it may be that one, and the next one the refresh's.
func (c *peerConn) tableWritten(f family) (refresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.refreshes[f]
	refresh = !r.since.IsZero() && !r.marked
	r.marked = r.marked || refresh
	return refresh
}

// refreshAgain hands on the next ROUTE-REFRESH of each family that may follow.
func (c *peerConn) refreshAgain(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil || c.closed.Load() || c.tcp.Load() == nil { // another connection begins from nothing
		return
	}
	before := len(c.out)
	for f := range c.refreshes {
		if c.mayFollowLocked(&c.refreshes[f], now) {
			c.refreshes[f] = refresh{}
			c.out = c.judge.Refreshed(c.out, f)
		}
	}
	c.noteRefreshesLocked(now)
	if len(c.out) > before {
		c.wakeLocked()
	}
}

// mayFollowLocked reports whether the one after r may follow.
func (c *peerConn) mayFollowLocked(r *refresh, now time.Time) bool {
	switch took := now.Sub(r.since); {
	case r.since.IsZero() || took < refreshPause:
		return false
	case r.marked:
		return true
	case took < refreshPatience:
		return false
	}
	_, unsent, _, err := waiting(c.tcp.Load())
	return err == nil && unsent == 0
}
