package agent

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"warren/internal/config"
	"warren/internal/status"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// configure takes the peers that are configured from now on, as planned (plan.go). What did not change stays
// up. All tunnels that change are closed before one of them is opened again: names of interfaces,
// links and keys may have moved from one to another.
func (m *machine) configure(now time.Time, next []wantedPeer) (out []effect) {
	var added []peerPlan
	var order []*peer
	for _, plan := range m.plan(next) {
		p := plan.peer
		switch plan.fate {
		case peerRemoved:
			out = append(out, m.remove(plan)...)
			continue
		case peerAdded:
			p = &peer{name: plan.next.name, bgp: plan.next.bgp}
			out = append(out, m.attachAll(p, plan.next)...)
			plan.peer = p
			added = append(added, plan)
		default:
			out = append(out, m.change(plan)...)
		}
		order = append(order, p)
	}
	m.order, m.changed, m.cameUp = order, true, true
	out = append(out, m.guard())
	if several := slices.ContainsFunc(order, func(p *peer) bool { return len(p.attachments) > 1 }); several != m.hashPorts {
		m.hashPorts = several
		out = append(out, hashPorts{several})
	}
	for _, plan := range added {
		m.peers[plan.peer.name] = plan.peer
		if !m.starting {
			out = append(out, reports(plan.lines)...)
		}
	}
	m.conditions.hurry(now)
	return append(out, m.open(now)...)
}

// reports tells what was done.
func reports(lines []status.Change) (out []effect) {
	for _, c := range lines {
		out = append(out, report{c.Text})
	}
	return out
}

// remove gives up a peer.
func (m *machine) remove(plan peerPlan) (out []effect) {
	delete(m.peers, plan.peer.name)
	m.order = slices.DeleteFunc(m.order, func(o *peer) bool { return o == plan.peer })
	for _, a := range plan.peer.attachments {
		out = append(out, m.close(a, "the peer was removed from this router's configuration")...)
	}
	return append(out, reports(plan.lines)...)
}

// change takes a peer's other config.
func (m *machine) change(plan peerPlan) (out []effect) {
	p := plan.peer
	if plan.fate != peerChanges {
		return m.changeNetwork(plan)
	}
	p.bgp = plan.next.bgp
	var matched, kept []*attachment
	for _, t := range plan.tunnels {
		if t.fate == tunnelRemoved {
			out = append(out, m.close(t.at, "the tunnel was removed from this router's configuration")...)
			out = append(out, reports(t.lines)...)
			continue
		}
		if matched = append(matched, t.at); t.at != nil {
			kept = append(kept, t.at)
		}
	}
	p.attachments = kept
	for _, t := range plan.tunnels {
		if t.fate == tunnelStays || t.fate == tunnelRemade {
			out = append(out, m.changeTunnel(t)...)
		}
	}
	for _, a := range kept {
		out = append(out, m.hopDown(a)...)
	}
	out = append(out, m.attach(p, plan.next.tunnels, matched)...)
	for _, t := range plan.tunnels {
		if t.fate == tunnelAdded {
			out = append(out, reports(t.lines)...)
		}
	}
	return append(out, reports(plan.lines)...)
}

// attachAll gives a new peer, or one that has none any more, its attachments.
func (m *machine) attachAll(p *peer, next wantedPeer) []effect {
	if next.bgp.LAN.IsSet() {
		p.attachments = []*attachment{{peer: p, name: p.name, lan: next.bgp.LAN}}
		return nil
	}
	return m.attach(p, next.tunnels, make([]*attachment, len(next.tunnels)))
}

// attach gives a peer its attachments in the order of its tunnels. Where there is none yet, it
// is made.
func (m *machine) attach(p *peer, tunnels []config.Tunnel, have []*attachment) (out []effect) {
	taken := attachmentNames(have)
	for i, a := range have {
		if a != nil {
			continue
		}
		have[i] = &attachment{peer: p, name: freeName(p.name, taken), cfg: tunnels[i]}
		taken[have[i].name] = true
		out = append(out, m.hopDown(have[i])...)
	}
	p.attachments = have
	return out
}

// hopDown says that routes cannot use a tunnel that is not up.
func (m *machine) hopDown(a *attachment) []effect {
	if a.up() {
		return nil
	}
	return []effect{setHop{a.cfg.Interface, true}}
}

// match returns the attachment that each tunnel of a peer is, nil if it is new. Tunnels are known
// by their interface, else by their link, else by their place.
func match(have []*attachment, tunnels []config.Tunnel) []*attachment {
	matched := make([]*attachment, len(tunnels))
	left := slices.Clone(have)
	take := func(fits func(a *attachment, t config.Tunnel) bool) {
		for i, t := range tunnels {
			if matched[i] != nil {
				continue
			}
			if j := slices.IndexFunc(left, func(a *attachment) bool { return fits(a, t) }); j >= 0 {
				matched[i] = left[j]
				left = slices.Delete(left, j, j+1)
			}
		}
	}
	take(func(a *attachment, t config.Tunnel) bool { return a.cfg.Interface == t.Interface })
	take(func(a *attachment, t config.Tunnel) bool { return a.cfg.Link == t.Link })
	take(func(*attachment, config.Tunnel) bool { return true })
	return matched
}

// changeTunnel takes an attachment's other config.
func (m *machine) changeTunnel(t tunnelPlan) (out []effect) {
	a := t.at
	if t.fate == tunnelRemade {
		out = append(m.close(a, changedHere), reports(t.lines)...)
		a.cfg = t.next
		return out
	}
	out = reports(t.lines)
	if len(a.cfg.SharedBy(t.next)) > 0 {
		m.changed = true // the preference is the neighbor's too
	}
	out = append(out, m.retune(a, t.next)...)
	rekey := t.keys != nil || !a.cfg.Trust.SameFiles(t.next.Trust)
	if a.cfg = t.next; !rekey {
		return out
	}
	line := ""
	if t.keys != nil {
		line = t.keys.Text
	}
	if a.phase == phaseOpen {
		return append(out, setTrust{a.id, t.next, line})
	}
	a.rekey = a.phase == phaseOpening
	if line != "" {
		out = append(out, report{line})
	}
	return out
}

// retune takes another congestion control or marking of a tunnel that stays.
func (m *machine) retune(a *attachment, next config.Tunnel) []effect {
	if a.cfg.SameTuning(next) {
		return nil
	}
	if a.phase == phaseOpen {
		return []effect{tune{a.id, next}}
	}
	a.tuneLater = a.phase == phaseOpening
	return nil
}
