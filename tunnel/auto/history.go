package auto

import (
	"net/netip"
	"slices"
	"time"
)

// This file is about the addresses at which WireGuard has been. Those of one peer may be of both families, of which one alone
// drops UDP or loses much, and a peer that moves is in another network by then. So what is wrong with one of them does not count
// for another.

// history is how WireGuard has worked with the peer at one address.
type history struct {
	pause time.Duration // for how long it must work before it carries again; 0: it was not left yet
	trial trial
}

// place is an address of the peer's with its history.
type place struct {
	at netip.Addr
	history
}

// mostPlaces is how many are remembered beside the one where WireGuard is, as a peer may move for ever.
const mostPlaces = 8

// follow takes note of where WireGuard is. At a place that is new it carries again as soon as after a first failure, if it was left
// elsewhere: it has still to prove that it works there. It may have got there without having been down, so what was counted until now is of
// the place before.
func (c *choice) follow(now time.Time, at netip.Addr) {
	if !at.IsValid() || at == c.at {
		return
	}
	before := place{c.at, c.history}
	c.at = at
	if !before.at.IsValid() {
		return // what is known is of this one
	}
	c.losses.reset()
	if c.slow = (time.Time{}); !c.well.IsZero() {
		c.well = now
	}
	before.trial.stop() // which was about the way to there
	if i := slices.IndexFunc(c.elsewhere, func(p place) bool { return p.at == at }); i >= 0 {
		c.history = c.elsewhere[i].history
		c.elsewhere = slices.Delete(c.elsewhere, i, i+1)
	} else {
		c.history = history{pause: min(c.pause, c.shortest())}
	}
	c.elsewhere = append(c.elsewhere[max(0, len(c.elsewhere)-mostPlaces+1):], before)
}
