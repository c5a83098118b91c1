package agent

import (
	"log/slog"
	"slices"
	"time"

	"warren/bgp"
)

// A tunnel that comes back is up before its routes are there. What this end sent through it at the first
// route the far end might have no route back for, nor a route onwards; and the other way round. So the
// neighbor is late at first (fib.SetLate): a prefix that another way leads to keeps that one, and a prefix
// without another one does not wait. It is the same on a network, where other neighbors may be behind the same interface.
//
//	            BGP is up, and both ends have all routes, or lateFor is over
//	late ──────────────────────────────────────────────────────────────────────▶ in use
//	  ▲ the tunnel comes up, or this router comes onto the network                  │
//	  └─────────────────────────────────────────────────────────────────────────────┘
//	            there is no BGP session, and no routes of the last one are kept
//
// Both ends have all routes when the peer has sent its End-of-RIB markers (RFC 4724 section 2), and
// its host has acknowledged this end's. A session that is continued after a restart of BGP leaves the
// routes where they are (graceful restart), and then nothing is late. So after `warren restart` the neighbors that are
// there again carry what others would have carried which are not, as their line was lost meanwhile.

// lateFor bounds for how long after the beginning of the BGP session a neighbor is late: not every
// peer has graceful restart, without which there are no markers.
const lateFor = 30 * time.Second

// exchanged is what is known of the routes of an attachment.
type exchanged struct {
	name        string    // of the attachment
	number      uint64    // of its session
	established bool      // there is a BGP session
	since       time.Time // when it began
	complete    bool      // both ends have all routes
	kept        bool      // those of the session before it are still used
	stale       bool      // and wait for that of now to announce them again
}

func (exchanged) isEvent() {}

// setLate says whether routes that have another way are to wait with using that of a neighbor.
type setLate struct {
	neighbor string
	late     bool
}

func (setLate) isEffect() {}

// exchanged decides whether the routes of an attachment are to be used beside others.
func (m *machine) exchanged(now time.Time, a *attachment, ev exchanged) []effect {
	s := a.session
	another := !ev.established || !ev.since.Equal(s.began)
	if ev.established {
		s.began = ev.since
	} else {
		s.goesOn = ev.stale
	}
	switch {
	case s.inUse && another && !ev.kept:
		s.inUse, s.goesOn = false, false
		return []effect{setLate{a.name, true}}
	case s.inUse || !ev.established:
		return nil
	case ev.complete, s.goesOn: // after a restart of this router, which tells nobody of its routes before it has heard all others
		s.inUse = true
		return []effect{setLate{a.name, false}}
	case now.Sub(ev.since) >= lateFor:
		s.inUse = true
		return []effect{setLate{a.name, false},
			a.log(slog.LevelInfo, "it is not certain that all routes have been exchanged with the peer: its routes are used now beside others", "after", lateFor)}
	}
	return nil
}

// followRoutes tells the machine how far the exchange of routes is, for those attachments of which that may
// change something. It comes before what was learned last is taken, so that a new session's routes are
// not taken for those of the last one.
func (l *loop) followRoutes() {
	named := map[string]*attachment{}
	l.m.all(func(a *attachment) {
		if a.up() {
			named[a.name] = a
		}
	})
	if len(named) == 0 {
		return
	}
	var events []event
	for _, n := range l.speaker.Neighbors() {
		a := named[n.Name]
		if a == nil {
			continue
		}
		ev := exchanged{name: a.name, number: a.session.number, established: n.State == stateEstablished, since: n.Since, complete: n.EndOfRIB && n.Delivered}
		if s := a.session; s.inUse && ev.established && ev.since.Equal(s.began) || !s.inUse && !ev.established && n.RestartUntil.IsZero() {
			continue
		}
		// A session that begins from nothing takes those of the last one away, which the loop may not have seen yet.
		learned := l.state.learnedFrom(n)
		ev.kept, ev.stale = learned && (!ev.established || ev.complete || !n.RestartUntil.IsZero()), learned && !n.RestartUntil.IsZero()
		events = append(events, ev)
	}
	if events != nil {
		l.play(events...)
	}
}

// stateEstablished is of bgp.NeighborStatus.
const stateEstablished = "established"

// learnedFrom reports whether any routes of a neighbor are known.
func (s *state) learnedFrom(n bgp.NeighborStatus) bool {
	return slices.ContainsFunc(s.origins, func(o *origin) bool { return o.prefixes > 0 && slices.Contains(o.neighbors, n.Name) })
}

// setLate is the effect.
func (l *loop) setLate(e setLate) {
	if delete(l.state.late, e.neighbor); e.late {
		l.state.late[e.neighbor] = true
	}
	l.routes.SetLate(e.neighbor, e.late)
}

// forgetLate is for when other attachments are configured.
func (l *loop) forgetLate() {
	for name := range l.state.late {
		if _, still := l.state.attached[name]; !still {
			l.setLate(setLate{name, false})
		}
	}
}
