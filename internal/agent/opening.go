package agent

import (
	"log/slog"
	"time"
)

// open opens the tunnels that are not open, unless one failed a moment ago.
func (m *machine) open(now time.Time) (out []effect) {
	if len(m.leaving) > 0 {
		return nil
	}
	m.all(func(a *attachment) {
		if a.isLAN() || a.phase != phaseClosed || m.orders.Down[a.peer.name] != nil || !m.conditions.due(now, about(kindOpen, a)) || !m.conditions.due(now, about(kindGone, a)) {
			return
		}
		a.phase, a.id, a.rekey, a.tuneLater = phaseOpening, m.number(), false, false
		m.tunnels[a.id] = a
		out = append(out, openTunnel{a.id, a.name, a.cfg})
	})
	return append(out, m.begun()...)
}

// begun lets strangers in when all tunnels have been tried once: a peer that dials in
// before its tunnel is known would be turned away as a stranger.
func (m *machine) begun() []effect {
	if !m.starting || m.busy() {
		return nil
	}
	m.starting = false
	return []effect{listen{kindListenTLS}, begun{}}
}

// opened takes what has become of a tunnel that was to be opened. Failing is remembered and
// tried again: one peer's bad luck, such as an interface name that is taken, keeps no other
// waiting.
func (m *machine) opened(now time.Time, ev opened) (out []effect) {
	if left, ok := m.leaving[ev.id]; ok {
		if ev.err != nil {
			return m.closed(now, ev.id)
		}
		m.leaving[ev.id] = leaving{ifname: left.ifname}
		return []effect{closeTunnel{ev.id, left.reason, false}}
	}
	a := m.tunnels[ev.id]
	if a == nil || a.phase != phaseOpening {
		return nil
	}
	out = m.conditions.note(now, about(kindOpen, a), ev.err)
	if ev.err != nil {
		m.shut(a)
		return append(out, m.begun()...)
	}
	a.phase = phaseOpen
	out = append(out, m.conditions.note(now, about(kindGone, a), nil)...)
	if a.rekey {
		a.rekey = false
		out = append(out, setTrust{a.id, a.cfg, ""})
	}
	if a.tuneLater {
		a.tuneLater = false
		out = append(out, tune{a.id, a.cfg})
	}
	return append(out, m.begun()...)
}

// shut notes that an attachment has no tunnel.
func (m *machine) shut(a *attachment) {
	delete(m.tunnels, a.id)
	a.phase, a.id = phaseClosed, 0
}

// close gives up an attachment's tunnel: the neighbor with a Cease while the tunnel still
// carries it, then the tunnel.
func (m *machine) close(a *attachment, reason string) []effect {
	cause := reason
	if reason == changedHere {
		cause = "the tunnel was changed in this router's configuration"
	}
	return m.closeFor(a, reason, cause)
}

// closeFor is close with a cause for the history.
func (m *machine) closeFor(a *attachment, reason, cause string) (out []effect) {
	parts := a.up()
	out = m.endSession(a, cause)
	m.conditions.forget(a)
	switch a.phase {
	case phaseOpen:
		m.leaving[a.id] = leaving{ifname: a.cfg.Interface}
		out = append(out, m.closeAfter(closeTunnel{a.id, reason, parts})...)
	case phaseOpening:
		m.leaving[a.id] = leaving{ifname: a.cfg.Interface, opening: true, reason: reason}
	}
	m.shut(a)
	return out
}

// closeAfter closes a tunnel, after the speaker was told if a session has ended.
func (m *machine) closeAfter(e closeTunnel) []effect {
	if m.ended {
		m.parting = append(m.parting, e)
		return nil
	}
	return []effect{e}
}

// closed opens what has waited for the tunnel to be gone.
func (m *machine) closed(now time.Time, id uint64) []effect {
	if _, ok := m.leaving[id]; !ok {
		return nil
	}
	if delete(m.leaving, id); len(m.leaving) > 0 {
		return nil
	}
	return append([]effect{m.guard()}, m.open(now)...)
}

// gone is for a tunnel whose interface something else has removed, renamed or moved to another
// network namespace. It is made again after a pause.
func (m *machine) gone(now time.Time, a *attachment, err error) []effect {
	out := m.conditions.note(now, about(kindGone, a), err)
	out = append(out, m.endSession(a, "the interface is gone: "+err.Error())...)
	m.leaving[a.id] = leaving{ifname: a.cfg.Interface}
	out = append(out, m.closeAfter(closeTunnel{a.id, "the interface is gone", false})...)
	m.shut(a)
	return out
}

// guard names the interfaces that transports must keep out of: those of all tunnels, and
// those that are not gone yet.
func (m *machine) guard() effect {
	var names []string
	named := map[string]bool{}
	add := func(name string) {
		if !named[name] {
			named[name] = true
			names = append(names, name)
		}
	}
	m.all(func(a *attachment) {
		if !a.isLAN() {
			add(a.cfg.Interface)
		}
	})
	for _, id := range sortedKeys(m.leaving) {
		add(m.leaving[id].ifname)
	}
	return guardTunnels{names}
}

// trusted takes whether a tunnel at work took over other keys. If it could not, as where a
// key goes from one peer to another, it is made again.
func (m *machine) trusted(a *attachment, ev trusted) []effect {
	switch {
	case ev.err == nil && ev.line == "":
		return nil
	case ev.err == nil:
		return []effect{report{ev.line}}
	}
	out := []effect{logged{slog.LevelInfo, "the keys of a tunnel at work cannot be changed, so it is made again",
		[]any{"peer", a.peer.name, "interface", a.cfg.Interface, "err", ev.err}}}
	return append(out, m.remake(a)...)
}

// changedHere is what a peer is told of a tunnel that is configured otherwise now.
const changedHere = "the peer changed its configuration"

// remake closes a tunnel that is configured otherwise now. It is opened when it is gone.
func (m *machine) remake(a *attachment) []effect {
	return append(m.close(a, changedHere), report{a.label() + remadeText})
}
