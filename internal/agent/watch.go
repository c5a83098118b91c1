package agent

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"warren/bgp"
	"warren/internal/history"
)

// sameAgain is how long what happens again and again is gathered until it is one event more of the history.
const sameAgain = time.Minute

// watched is what the history knows of counters, which it makes events of. The loop owns it.
type watched struct {
	restarts  int
	neighbors map[string]watchedNeighbor
	strangers map[netip.Addr]uint64 // how often each was refused
	refused   gathered
	swallowed map[string]uint64 // packets, by interface
	lost      gathered
}

type watchedNeighbor struct {
	limited   bool // more prefixes than may be
	malformed gathered
}

// gathered counts what happens again and again.
type gathered struct {
	seen uint64 // the counter, as it was last
	open uint64 // of those that no event has told of
	told time.Time
}

// take takes the counter of now, and returns how many an event is to tell of; 0: there is to be none.
// A counter that is smaller than it was has begun again.
func (g *gathered) take(now time.Time, counter uint64) (n uint64) {
	if counter < g.seen {
		g.seen = 0
	}
	return g.add(now, counter-g.seen, counter)
}

func (g *gathered) add(now time.Time, more, counter uint64) (n uint64) {
	g.seen, g.open = counter, g.open+more
	if g.open == 0 || !g.told.IsZero() && now.Sub(g.told) < sameAgain {
		return 0
	}
	n, g.open, g.told = g.open, 0, now
	return n
}

// watch puts into the history what counters tell.
func (l *loop) watch(now time.Time) {
	l.watchSpeaker(now)
	neighbors := make(map[string]watchedNeighbor)
	for _, n := range l.speaker.Neighbors() {
		neighbors[n.Name] = l.watchNeighbor(now, n, l.watched.neighbors[n.Name])
	}
	l.watched.neighbors = neighbors
	l.watchStrangers(now)
	l.watchSwallowed(now)
}

func (l *loop) watchSpeaker(now time.Time) {
	s := l.speaker.Status()
	if s.Restarts > l.watched.restarts {
		l.history.Add(history.Event{
			Kind: history.SpeakerRestarted, Time: history.At(now), Cause: s.LastError, Count: uint64(s.Restarts - l.watched.restarts),
		})
	}
	l.watched.restarts = s.Restarts
}

func (l *loop) watchNeighbor(now time.Time, n bgp.NeighborStatus, was watchedNeighbor) watchedNeighbor {
	a := l.m.named(n.Name)
	if a == nil {
		return was
	}
	if limited := n.Refused > 0; limited != was.limited {
		was.limited = limited
		e := a.event(history.Limit, now)
		e.Over, e.Count, e.Cause = !limited, uint64(n.Refused), "no prefix is refused any more"
		if limited {
			e.Cause = refusedByLimit(n.Refused, a.peer.bgp.MaxPrefixes)
		}
		l.history.Add(e)
	}
	bad := n.Malformed
	if count := was.malformed.take(now, bad.Repaired+bad.Withdrawn+bad.Discarded); count > 0 {
		e := a.event(history.Malformed, now)
		e.Count, e.Cause = count, bad.Last
		l.history.Add(e)
	}
	return was
}

func refusedByLimit(refused, most int) string {
	return fmt.Sprintf("%d prefixes refused: the peer announces more than max_prefixes = %d of a family", refused, most)
}

// watchStrangers counts connections that were refused: who knocks is not worth an event each time.
func (l *loop) watchStrangers(now time.Time) {
	all := l.refusals(time.Time{})
	counts := make(map[netip.Addr]uint64, len(all))
	more := uint64(0)
	for _, r := range all {
		counts[r.Source] += r.Count
	}
	for source, n := range counts {
		if before := l.watched.strangers[source]; n >= before {
			more += n - before
		} else { // it was forgotten meanwhile
			more += n
		}
	}
	l.watched.strangers = counts
	if n := l.watched.refused.add(now, more, 0); n > 0 && len(all) > 0 {
		l.history.Add(history.Event{
			Kind: history.Stranger, Time: history.At(now), Peer: l.peerAt(all[0].Source), Remote: all[0].Source.String(), Count: n,
			Cause: all[0].Reason,
		})
	}
}

// watchSwallowed tells of the transports' own packets that were about to go through tunnels.
func (l *loop) watchSwallowed(now time.Time) {
	var last string
	counts := map[string]uint64{}
	more := uint64(0)
	for _, s := range l.guard.Swallowed() {
		counts[s.Interface] = s.Packets
		if before := l.watched.swallowed[s.Interface]; s.Packets > before {
			more += s.Packets - before
			last = s.Interface
		}
	}
	l.watched.swallowed = counts
	n := l.watched.lost.add(now, more, 0)
	if n == 0 {
		return
	}
	e := history.Event{Kind: history.Underlay, Time: history.At(now)}
	if a := l.m.behind(last); a != nil {
		e = a.event(history.Underlay, now)
	}
	e.Count, e.Interface = n, cmp.Or(last, e.Interface)
	e.Cause = "packets of the transports themselves came out of a tunnel's interface and were dropped; warren status has a hint"
	l.history.Add(e)
}
