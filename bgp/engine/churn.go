package engine

import (
	"sync"
	"time"
)

// Each change of a peer's routes is put together and queued for all neighbors that are told of it. One peer whose routes come and go all the
// time would have those behind narrow lines fall behind until their sessions end (behind.go). So it is read more slowly, and TCP has it
// wait. What it announces for the first time is free, as its limits bound that; so is to change all of it once, and freeChanges
// besides. That is no more than may wait for a neighbor that has taken what was announced first.

var (
	freeChanges = 20_000 // tests replace it
	leastPace   = 1000.0 // changes a second that are free; likewise
)

const (
	// paceAll is the time in which all that a peer announces may change again.
	paceAll = 30 * time.Second
	// restStep is for how long a reader rests at a time at most: it looks at what else there is in between.
	restStep = 200 * time.Millisecond
	// pacedLogged bounds how often it is logged that a peer is read more slowly, per neighbor.
	pacedLogged = time.Minute
)

// churn is how much a peer has changed. It outlives sessions and tunnels, as a peer that ends them changes everything. It may be used from
// any goroutine.
type churn struct {
	mu    sync.Mutex
	most  int       // prefixes that were accepted at a time
	spent float64   // changes that time has not made up for yet
	at    time.Time // as of when
}

// note takes changes of a peer that has so many prefixes accepted.
func (c *churn) note(now time.Time, accepted, changes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passLocked(now)
	c.most = max(c.most, accepted)
	c.spent += float64(max(changes, 0))
}

func (c *churn) passLocked(now time.Time) {
	c.spent = max(0, c.spent-c.paceLocked()*max(0, now.Sub(c.at).Seconds()))
	c.at = now
}

func (c *churn) paceLocked() float64 { return max(leastPace, float64(c.most)/paceAll.Seconds()) }

// left is how many changes may come at once, and, if there are none, for how long nothing is to be read.
func (c *churn) left(now time.Time) (changes int, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passLocked(now)
	left := float64(c.most+freeChanges) - c.spent
	if left < 0 {
		return 0, time.Duration(-left / c.paceLocked() * float64(time.Second))
	}
	return int(left), 0
}

// isOver reports whether time has made up for all changes.
func (c *churn) isOver(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passLocked(now)
	return c.spent == 0
}

// rest waits for a moment if the peer has changed too much, or returns how many bytes to read at most. A handshake is read at once, as
// the peer would end a session for which it waits longer than the hold time. It is for the reader.
func (c *peerConn) rest() (most int, rested bool) {
	changes, wait := c.churn.left(time.Now())
	switch {
	case wait == 0 && changes >= mostMoves:
		return largeRead, false
	case wait == 0 || !c.isUp():
		return smallRead, false
	}
	c.paced()
	timer := time.NewTimer(min(wait, restStep))
	defer timer.Stop()
	select {
	case <-c.wake:
	case <-timer.C:
	}
	return 0, true
}

// isUp reports whether there is or was a session on the connection.
func (c *peerConn) isUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.up.IsZero()
}
