package tlslink

import (
	"context"
	"time"
)

// A session that carries something and loses packets gets its second lane at once: as long as there is only one, all flows wait for
// what any of them has lost.
const (
	fewLosses  = 3 // segments that are sent again within lossesFor
	lossesFor  = 5 * time.Second
	lossyLanes = 2
)

// losses counts what a lane has lost while it carries something. It belongs to who has the lane's lock.
type losses struct {
	began  time.Duration
	before int
}

// look reports whether there are many lately.
func (s *losses) look(now time.Duration, lost int) bool {
	if s.began == 0 || now-s.began > lossesFor {
		s.began, s.before = now, lost
	}
	return lost-s.before >= fewLosses
}

// followLosses is called now and then while the lane carries something.
func (ln *lane) followLosses(now time.Duration) {
	if ln.s.loses.Load() {
		return
	}
	v, _ := ln.look(now)
	if v.known && ln.losses.look(now, v.lost) && ln.s.loses.CompareAndSwap(false, true) {
		ln.s.link.wakeWidening()
	}
}

// wakeWidening has lanes be opened before the next look back.
func (l *Link) wakeWidening() {
	select {
	case l.widens <- struct{}{}:
	default:
	}
}

// spreads reports whether streams are to use a lane that has come: not if this end has it for its losses, and the path is slow.
func (l *Link) spreads() bool {
	s := l.session
	if !s.loses.Load() {
		return true
	}
	s.first.Load().wire.boundUnsent() // the last look at the rate may be from before the streams
	return l.lanesHelp()
}

// widenEarly is called when the session has lost packets, or the peer asks for lanes.
func (l *Link) widenEarly(ctx context.Context) {
	s := l.session
	if s == nil || s.parting.Load() {
		return
	}
	switch {
	case !s.loses.Load() && !s.asked.Load():
	case s.dialer:
		l.dialLanes(ctx, lossyLanes)
	case s.loses.Load():
		l.askForLanes(lossyLanes)
	}
}
