package agent

import (
	"log/slog"
	"slices"
	"time"

	"warren/bgp"
)

// A tunnel that comes back is up before its routes are there. What this end sent through it at the first
// route the far end might have no route back for, nor a route onwards; and the other way round. So the
// interface is late at first (fib.Hop): a prefix that another way leads to keeps that one, and a prefix
// without another one does not wait.
//
//	            BGP is up, and both ends have all routes, or lateFor is over
//	late ──────────────────────────────────────────────────────────────────────▶ in use
//	  ▲ the tunnel comes up                                                         │
//	  └─────────────────────────────────────────────────────────────────────────────┘
//	            there is no BGP session, and no routes of the last one are kept
//
// Both ends have all routes when the peer has sent its End-of-RIB markers (RFC 4724 section 2), and
// its host has acknowledged this end's. A session that is continued after a restart of BGP leaves the
// routes where they are (graceful restart), and then nothing is late.

// lateFor bounds for how long after the beginning of the BGP session an interface is late: not every
// peer has graceful restart, without which there are no markers.
const lateFor = 30 * time.Second

// exchanged is what is known of the routes of an attachment.
type exchanged struct {
	id, number  uint64
	established bool      // there is a BGP session
	since       time.Time // when it began
	complete    bool      // both ends have all routes
	learned     bool      // some are learned over it
}

func (exchanged) isEvent() {}

// setLate says whether routes that have another way are to wait with using an interface.
type setLate struct {
	ifname string
	late   bool
}

func (setLate) isEffect() {}

// exchanged decides whether the routes over a tunnel are to be used beside others.
func (m *machine) exchanged(now time.Time, a *attachment, ev exchanged) []effect {
	s := a.session
	another := !ev.established || !ev.since.Equal(s.began)
	if ev.established {
		s.began = ev.since
	}
	switch {
	case s.inUse && another && !ev.learned:
		s.inUse = false
		return []effect{setLate{a.cfg.Interface, true}}
	case s.inUse || !ev.established:
		return nil
	case ev.complete:
		s.inUse = true
		return []effect{setLate{a.cfg.Interface, false}}
	case now.Sub(ev.since) >= lateFor:
		s.inUse = true
		return []effect{setLate{a.cfg.Interface, false},
			a.log(slog.LevelInfo, "the peer has not said that it has all routes: its tunnel is used now beside others", "after", lateFor)}
	}
	return nil
}

// followRoutes tells the machine how far the exchange of routes is, for those tunnels of which that may
// change something. It comes before what was learned last is taken, so that a new session's routes are
// not taken for those of the last one.
func (l *loop) followRoutes() {
	named := map[string]*attachment{}
	l.m.all(func(a *attachment) {
		if a.up() && !a.isLAN() {
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
		ev := exchanged{id: a.id, number: a.session.number, established: n.State == stateEstablished, since: n.Since, complete: n.EndOfRIB && n.Delivered}
		if s := a.session; s.inUse && ev.established && ev.since.Equal(s.began) || !s.inUse && !ev.established {
			continue
		}
		ev.learned = l.state.learnedFrom(n)
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
	if e.late {
		l.state.late[e.ifname] = true
	} else {
		delete(l.state.late, e.ifname)
	}
	if !l.rising[e.ifname] { // else the routes are told when they catch up
		l.routes.SetHop(e.ifname, l.state.hop(e.ifname))
	}
}
