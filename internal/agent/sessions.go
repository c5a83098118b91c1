package agent

import (
	"cmp"
	"log/slog"
	"time"

	"warren/internal/config"
)

// log is a line of the log about an attachment.
func (a *attachment) log(level slog.Level, text string, attrs ...any) effect {
	return logged{level, text, append([]any{"peer", a.peer.name, "interface", a.ifname()}, attrs...)}
}

// replaces is why the session before is over, if there is one.
func (ev wentUp) replaces() string {
	return cmp.Or(ev.lost, "another session of the tunnel took its place")
}

// wentUp gives a tunnel that came up its addresses, and its neighbor when it has them.
func (m *machine) wentUp(a *attachment, ev wentUp) []effect {
	var out []effect
	if a.up() {
		out = append(m.wentDown(a, ev.replaces()), m.tell()...)
	}
	var attrs []any
	if ev.remote.IsValid() {
		attrs = []any{"remote", ev.remote}
	}
	out = append(out, a.log(slog.LevelInfo, "tunnel up", attrs...))
	return append(out, m.beginSession(a, ev)...)
}

// beginSession begins what is over the tunnel.
func (m *machine) beginSession(a *attachment, ev wentUp) []effect {
	out := m.makeSession(a, ev)
	return append(m.tunnelUp(a), out...)
}

// makeSession is beginSession for a tunnel that may have been up before.
func (m *machine) makeSession(a *attachment, ev wentUp) []effect {
	a.session = newSession(m.number(), ev.ends, ev.beside, ev.rtt)
	a.session.told, a.session.offered, a.session.assigned = ev.told || a.cfg.Transport == config.TransportTLS, ev.offered, a.assigned
	if ev.called && ev.beside.valid() {
		a.session.overIPv4()
	}
	if a.session.came = ev.since; ev.since.IsZero() {
		a.session.came = m.now
	}
	if ev.remote.IsValid() {
		a.session.remote = ev.remote.String()
	}
	a.ends = a.session.allEnds()
	m.cameUp = true
	return []effect{setLate{a.name, true}, setHop{a.cfg.Interface, false}, a.giveAddresses()}
}

func (a *attachment) setAddresses(back bool) effect {
	return setAddresses{a.id, a.session.number, a.session.locals(), a.session.mayHave(a.session.assigned), back}
}

// addressed goes on when the interface has its addresses. Where it can have no IPv6 ones, BGP
// goes over IPv4.
func (m *machine) addressed(now time.Time, a *attachment, ev addressed) (out []effect) {
	s := a.session
	if ev.noIPv6 && s.ipv4.valid() && !s.noIPv6 {
		s.noIPv6 = true
		s.overIPv4()
		return []effect{a.log(slog.LevelInfo, "no IPv6 here: BGP goes over IPv4", "address", s.local), a.setAddresses(ev.back)}
	}
	k := kindAddresses
	if ev.back {
		k = kindAddressesBack
	}
	out = m.conditions.note(now, about(k, a), ev.err)
	if ev.err != nil {
		return out
	}
	s.addresses, s.addressed = ev.addresses, now
	if ev.back {
		return append(out, a.log(slog.LevelWarn, "gave the tunnel's interface the addresses back that it had lost"))
	}
	s.ready, m.changed = true, true
	if s.ipv4.valid() && !s.local.Is4() && !s.beside {
		s.beside = true
		out = append(out, listenBeside{a.id, s.number, a.cfg.Interface, s.ipv4})
	}
	return out
}

// wentDown takes away what a dead tunnel must not have: its neighbor, and with it its routes.
func (m *machine) wentDown(a *attachment, reason string) []effect {
	if !a.up() {
		return nil
	}
	return append([]effect{a.log(slog.LevelWarn, "tunnel down", "reason", reason)}, m.endSession(a, reason)...)
}

// missed tells that a tunnel has gone down while the daemon was replaced.
func (m *machine) missed(ev missed) []effect {
	const reason = "it was not there again after `warren restart`"
	a := m.named(ev.name)
	if a == nil || a.up() {
		return nil
	}
	was := &session{came: ev.came}
	if ev.came.IsZero() {
		was.came = m.now
	}
	return append([]effect{a.log(slog.LevelWarn, "tunnel down", "reason", reason)}, m.tunnelDown(a, was, reason)...)
}

// endSession ends what is over the tunnel, if there is anything. cause is for the history.
func (m *machine) endSession(a *attachment, cause string) (out []effect) {
	s := a.session
	if s == nil {
		return nil
	}
	return append(m.tunnelDown(a, s, cause), m.dropSession(a)...)
}

// dropSession is endSession for a tunnel that may stay up. The speaker is told when all events are taken (idle); where
// another session begins at once it has to be told before, as the routes of this one must not come back with the
// interface.
func (m *machine) dropSession(a *attachment) (out []effect) {
	s := a.session
	if a.session = nil; s.beside {
		out = append(out, endBeside{a.id})
	}
	m.conditions.rest(about(kindAddresses, a))
	m.conditions.rest(about(kindAddressesBack, a))
	m.conditions.rest(about(kindAssigned, a))
	m.changed, m.ended = true, true
	// The kernel first: the routes' way out is gone, whatever BGP thinks.
	return append(out, m.hopLost(a)...)
}

// called goes over to IPv4 for a peer that has called there, as it has no IPv6.
func (m *machine) called(a *attachment) (out []effect) {
	s := a.session
	if s.local.Is4() || !s.ipv4.valid() {
		return nil
	}
	if s.beside {
		s.beside = false
		out = append(out, endBeside{a.id}) // BGP is to listen there now
	}
	s.overIPv4()
	m.startAgain(a, "the peer has no IPv6, so that BGP goes over IPv4")
	m.changed = true
	return append(out, a.log(slog.LevelInfo, "the peer has no IPv6: BGP goes over IPv4", "address", s.local))
}

// rekeyed begins what is over the tunnels again, from their new ends. The tunnels stay up. The speaker is told of all
// that end at once, and before any interface can be used again.
func (m *machine) rekeyed(all []otherKeys) (out []effect) {
	var moved []*attachment
	var ups []wentUp
	for _, ev := range all {
		a := m.tunnels[ev.id]
		if a == nil || !a.up() {
			continue
		}
		ev.told, ev.offered, ev.since = a.session.told, a.session.offered, a.session.came // which do not change with the keys
		a.closedFor = "the tunnel's addresses follow its keys"
		out = append(out, a.log(slog.LevelInfo, a.closedFor), setEnds{a.id, ev.local, ev.peer})
		out = append(out, m.dropSession(a)...)
		moved, ups = append(moved, a), append(ups, ev.wentUp)
	}
	if moved == nil {
		return nil
	}
	out = append(out, m.tell()...)
	for i, a := range moved {
		out = append(out, m.makeSession(a, ups[i])...)
	}
	return out
}
