package engine

import (
	"log/slog"
	"time"

	"warren/bgp/judge"
)

// Graceful restart as the end that stays, as far as time and neighbors are concerned;
// lost.go has the connection's part, resume.go the handshake on the next one.
//
// A peer whose connection ends without a NOTIFICATION may have restarted and may
// forward packets meanwhile, if its OPEN has said so. Its routes stay for the time that
// it asks for, at most Config.RestartTime. When it is back they stay until it has
// announced all that it has, for Config.RestartTime at most. However often the
// connection is lost before that, they are gone after twice that time. A tunnel that
// goes down takes all at once: the neighbor is not wanted any more then, or is in
// another generation.
//
// A NOTIFICATION ends all, as does an expired hold timer, which this end says with one.
// After sessions that did not last the next connection has to wait, as in restart.go; and
// if the peer did not get to its End-of-RIB markers in the last of several, nothing is kept.

// keptInterval is how often what is kept is looked at. A hold time is 3 s at least (RFC 4271 section 4.2).
const keptInterval = 500 * time.Millisecond

// A retention is what is kept of a session whose connection was lost, until no route
// is stale any more. Speaker.mu guards it.
type retention struct {
	first time.Time // when the connection was lost the first time
	until time.Time // when the stale routes go at the latest
	ready time.Time // no next connection before
	away  bool      // there is no connection yet
	over  bool      // the session is being ended

	next   *peerConn // stands for the next connection while its handshake lasts
	state  string    // of that handshake
	failed int       // handshakes
}

// away reports whether there is no connection below an established session.
func (ss *session) away() bool { return ss.kept != nil && ss.kept.away }

// shown is the state that there is for others.
func (ss *session) shown() string {
	switch {
	case !ss.away():
		return ss.state
	case ss.kept.over:
		return stateIdle
	case ss.kept.next != nil:
		return ss.kept.state
	}
	return stateActive
}

// onLost is called when n's connection has failed. It reports whether the session goes
// on without.
func (s *Speaker) onLost(n *neighbor, c *peerConn) bool {
	s.mu.Lock()
	now := time.Now()
	lasted := now.Sub(n.session.since)
	long, ok := s.retainLocked(n, c, lasted)
	if !ok {
		s.mu.Unlock()
		return false
	}
	ss := &n.session
	if ss.kept == nil {
		kept := &retention{first: now}
		ss.kept = kept
		n.work.Go(func() { s.watchKept(n, c, kept) })
	}
	ss.kept.away, ss.kept.next = true, nil
	ss.kept.until = s.keptUntil(ss.kept, now.Add(min(long, s.restartTime)))
	ss.kept.ready = now
	if ss.failures > 1 {
		ss.kept.ready = now.Add(restartDelay << (ss.failures - 2))
	}
	ss.since = now
	n.setProblem(vague, "the peer closed the connection without saying why")
	stale, left := c.stale(), ss.kept.until.Sub(now)
	s.news.pending = append(s.news.pending, s.endedLocked(n, lasted), func() {
		s.log.Info("the peer may be restarting: its routes stay for now", slog.String("peer", n.Name),
			slog.Int("routes", stale), slog.Duration("at_most", left.Round(time.Millisecond)))
	})
	s.startDialLocked(n)
	s.mu.Unlock()
	s.onMoved(n, c)
	s.tell()
	s.logProblems()
	s.notify()
	return true
}

// retainLocked has c keep the routes of n if that is wanted and asked for, and returns
// for how long it is asked for. A session that has not lasted counts as a failure.
func (s *Speaker) retainLocked(n *neighbor, c *peerConn, lasted time.Duration) (long time.Duration, ok bool) {
	ss := &n.session
	if s.restartTime == 0 || ss.conn != c || ss.state != stateEstablished || n.ctx.Err() != nil || s.neighbors[n.Name] != n {
		return 0, false
	}
	if lasted >= steadyAfter {
		ss.failures = 0
	}
	if ss.failures >= maxRestarts && !c.complete() {
		return 0, false
	}
	if long, ok = c.detach(); ok {
		ss.failures = min(ss.failures+1, maxRestarts)
	}
	return long, ok
}

// keptUntil bounds a time at which what is kept goes.
func (s *Speaker) keptUntil(kept *retention, t time.Time) time.Time {
	if last := kept.first.Add(2 * s.restartTime); last.Before(t) {
		return last
	}
	return t
}

// watchKept sees to what is kept of n until nothing is.
func (s *Speaker) watchKept(n *neighbor, c *peerConn, kept *retention) {
	for {
		s.mu.Lock()
		if n.session.kept != kept || n.session.conn != c || kept.over {
			s.mu.Unlock()
			return
		}
		left := time.Until(kept.until)
		if left <= 0 {
			away := kept.away
			s.keepNoLongerLocked(n, c, kept)
			s.mu.Unlock()
			if !away {
				c.expire() // not above: it takes a while with a large table
				s.onMoved(n, c)
			}
			s.tell()
			s.notify()
			return
		}
		if kept.away && !amended {
			c.nudge()
		}
		if s.wantsConnectionLocked(n) {
			s.startDialLocked(n)
		}
		s.mu.Unlock()
		if !pause(n.ctx, min(left, keptInterval)) {
			return
		}
	}
}

// keepNoLongerLocked ends the time of the stale routes. If there is no connection the session
// goes with them, otherwise c is to expire them.
func (s *Speaker) keepNoLongerLocked(n *neighbor, c *peerConn, kept *retention) {
	text, stale := "the peer did not come back in time: its routes are gone", c.stale()
	if kept.away {
		s.giveUpLocked(n, kept)
	} else {
		text = "the peer did not say in time that it has announced all routes: those that it has not announced again are gone"
		n.session.kept = nil
	}
	s.news.pending = append(s.news.pending, func() { s.log.Warn(text, slog.String("peer", n.Name), slog.Int("routes", stale)) })
}

// giveUpLocked ends a session that has no connection, and takes its routes.
func (s *Speaker) giveUpLocked(n *neighbor, kept *retention) {
	kept.over = true
	if kept.next != nil {
		kept.next.hangUp()
	}
	s.rib.dropBest(n)
	s.dropHeldLocked(n)
	if n.session.conn != nil {
		n.session.conn.giveUp()
	}
}

// resumeLocked begins the handshake that continues n's session. It returns the work.
func (s *Speaker) resumeLocked(n *neighbor, next *peerConn) func() {
	kept, c := n.session.kept, n.session.conn
	kept.next, kept.state = next, stateOpenSent
	j := judge.New(s.judgeConfigLocked(n, c))
	return func() { s.resume(n, c, kept, next, j) }
}

// attach gives c the connection on which the handshake was done. What was kept of the
// session goes on with it, and the peer gets everything that it is to know.
func (s *Speaker) attach(n *neighbor, c *peerConn, kept *retention, next *peerConn, j *judge.Session) bool {
	s.mu.Lock()
	ss, now := &n.session, time.Now()
	if ss.kept != kept || ss.conn != c || kept.over || kept.next != next || n.ctx.Err() != nil || !c.attach(next.tcp.Load(), j) {
		s.mu.Unlock()
		return false
	}
	kept.away, kept.next, kept.failed = false, nil, 0
	kept.until = s.keptUntil(kept, now.Add(s.restartTime))
	open, _ := j.PeerOpen()
	n.setOpen(open)
	ss.ended = [2]bool{}
	ss.since, ss.problem, ss.unanswered, ss.said = now, problem{}, time.Time{}, nil
	n.applied.resetting = true // what was sent meanwhile was discarded
	stale := c.stale()
	if stale == 0 {
		ss.kept = nil
	}
	s.news.pending = append(s.news.pending, s.establishedLocked(n))
	if stale > 0 {
		s.news.pending = append(s.news.pending, func() {
			s.log.Info("the peer is back: its routes stay until it has announced what it has", slog.String("peer", n.Name), slog.Int("routes", stale))
		})
	}
	s.mu.Unlock()
	s.onMoved(n, c)
	s.tell()
	s.wake()
	s.logProblems()
	s.notify()
	return true
}

// refreshedLocked forgets what was kept once nothing of it is stale.
func (s *Speaker) refreshedLocked(n *neighbor) {
	if ss := &n.session; ss.kept != nil && !ss.kept.away && ss.conn != nil && ss.conn.stale() == 0 {
		ss.kept = nil
	}
}
