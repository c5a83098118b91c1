package agent

import (
	"log/slog"
	"strings"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/history"
)

// The machine says of tunnels, sessions and conditions what has happened to them: that is the effect
// happened, which the loop puts into the history.

// resets count how often something that was up went down, since the daemon has started; `warren restart` starts no other.
type resets struct {
	count int
	last  time.Time // zero: never
	cause string    // of the last
}

func (r *resets) note(now time.Time, cause string) {
	r.count, r.last, r.cause = r.count+1, now, cause
}

// event begins an event about the attachment.
func (a *attachment) event(k history.Kind, now time.Time) history.Event {
	e := history.Event{Kind: k, Time: history.At(now), Peer: a.peer.name, Interface: a.ifname()}
	if !a.isLAN() {
		link := a.cfg.Link
		e.Link = &link
	}
	return e
}

// tunnelUp tells that the session of a tunnel has begun. Networks are no tunnels.
func (m *machine) tunnelUp(a *attachment) []effect {
	e := a.event(history.TunnelUp, m.now)
	e.Remote = a.session.remote
	return []effect{happened{e}}
}

// tunnelDown notes why the session s of a's is over, and tells it of a tunnel.
func (m *machine) tunnelDown(a *attachment, s *session, cause string) []effect {
	if a.isLAN() {
		a.closedFor = "this router is not on the peer's network any more: " + cause
		return nil
	}
	a.closedFor = "the tunnel is down: " + cause
	a.resets.note(m.now, cause)
	e := a.event(history.TunnelDown, m.now)
	e.Cause, e.Remote, e.LastedS = cause, s.remote, history.Seconds(m.now.Sub(s.came))
	return []effect{happened{e}}
}

// moved tells that another of a tunnel's transports carries it.
func (m *machine) moved(a *attachment, ev moved) []effect {
	e := a.event(history.Carried, m.now)
	e.Transport, e.Cause = ev.transport, ev.why
	level := slog.LevelWarn
	if ev.transport == config.TransportWireGuard {
		level = slog.LevelInfo // which is preferred
	}
	return []effect{
		happened{e},
		a.log(level, "the tunnel is carried by another transport now", "transport", ev.transport, "reason", ev.why),
	}
}

// startAgain has the BGP session of an attachment that is up end and begin again.
func (m *machine) startAgain(a *attachment, cause string) {
	a.session.generation, a.closedFor = m.number(), cause
}

// spoken is what the speaker says of a session. One that this router has ended has the cause that the
// machine knows.
func (m *machine) spoken(ev bgp.Event) []effect {
	e := history.Event{Kind: history.SessionDown, Time: history.At(ev.Time), Cause: ev.Cause, LastedS: history.Seconds(ev.Lasted)}
	at := m.named(ev.Neighbor)
	if at == nil {
		e.Peer, _, _ = strings.Cut(ev.Neighbor, "/")
	} else {
		of := at.event(e.Kind, ev.Time)
		e.Peer, e.Link, e.Interface = of.Peer, of.Link, of.Interface
	}
	switch {
	case ev.Kind == bgp.SessionUp:
		e.Kind, e.Cause, e.LastedS = history.SessionUp, "", 0
		if at != nil {
			at.closedFor, at.farewell = "", bgp.Farewell{}
		}
		return []effect{happened{e}}
	case ev.Cause == "" && at == nil:
		e.Cause = "the peer or its tunnel was removed from this router's configuration"
	case ev.Cause == "" && at.closedFor == "":
		e.Cause = "the peer was changed in this router's configuration"
	case ev.Cause == "":
		e.Cause = at.closedFor
	}
	if at != nil {
		at.sessions.note(ev.Time, e.Cause)
		at.closedFor = ""
	}
	return []effect{happened{e}}
}

// event is what the history has of a condition that comes, has another cause, or is over.
func (c *condition) event(now time.Time, of subject, cause string, over bool) effect {
	e := history.Event{
		Kind: history.Underlay, Time: history.At(now), Peer: of.peer, Interface: of.ifname,
		Condition: string(of.kind), Cause: cause, Over: over,
	}
	if of.kind == kindRoutes {
		e.Kind = history.RouteError
	}
	if over {
		e.LastedS = history.Seconds(now.Sub(c.since))
	}
	return happened{e}
}
