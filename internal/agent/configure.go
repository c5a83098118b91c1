package agent

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"warren/internal/config"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// configure takes the peers that are configured from now on. What did not change stays up. All
// tunnels that change are closed before one of them is opened again: names of interfaces,
// links and keys may have moved from one to another.
func (m *machine) configure(now time.Time, next []wantedPeer) (out []effect) {
	stays := map[string]bool{}
	for _, n := range next {
		stays[n.name] = true
	}
	for _, name := range sortedKeys(m.peers) {
		if stays[name] {
			continue
		}
		p := m.peers[name]
		delete(m.peers, name)
		m.order = slices.DeleteFunc(m.order, func(o *peer) bool { return o == p })
		for _, a := range p.attachments {
			out = append(out, m.close(a, "the peer was removed from this router's configuration")...)
		}
		out = append(out, report{"peer " + name + ": removed"})
	}
	var added, order []*peer
	for _, n := range next {
		p := m.peers[n.name]
		if p != nil {
			out = append(out, m.change(p, n)...)
		} else {
			p = &peer{name: n.name, bgp: n.bgp}
			added = append(added, p)
			out = append(out, m.attachAll(p, n)...)
		}
		order = append(order, p)
	}
	m.order, m.changed, m.cameUp = order, true, true
	out = append(out, m.guard())
	if several := slices.ContainsFunc(order, func(p *peer) bool { return len(p.attachments) > 1 }); several != m.hashPorts {
		m.hashPorts = several
		out = append(out, hashPorts{several})
	}
	for _, p := range added {
		m.peers[p.name] = p
		if !m.starting {
			out = append(out, report{"peer " + p.name + ": added"})
		}
	}
	m.conditions.hurry(now)
	return append(out, m.open(now)...)
}

// change takes a peer's other config.
func (m *machine) change(p *peer, next wantedPeer) (out []effect) {
	before := p.bgp
	p.bgp = next.bgp
	if before.LAN.IsSet() || next.bgp.LAN.IsSet() {
		return m.changeNetwork(p, before, next)
	}
	matched := match(p.attachments, next.tunnels)
	for _, a := range p.attachments {
		if !slices.Contains(matched, a) {
			out = append(out, m.close(a, "the tunnel was removed from this router's configuration")...)
			out = append(out, report{a.label() + ": tunnel removed"})
		}
	}
	kept := slices.DeleteFunc(slices.Clone(matched), func(a *attachment) bool { return a == nil })
	p.attachments = kept
	stayed := false
	for i, a := range matched {
		if a != nil {
			effects, same := m.changeTunnel(a, next.tunnels[i])
			out, stayed = append(out, effects...), stayed || same
		}
	}
	for _, a := range kept {
		out = append(out, m.hopDown(a)...)
	}
	out = append(out, m.attach(p, next.tunnels, matched)...)
	if stayed {
		out = append(out, changedBGP(p.name, before, next.bgp)...)
	}
	return out
}

// changedBGP says what is another about the BGP side of a peer that stays where it is.
func changedBGP(name string, before, next config.PeerBGP) (out []effect) {
	switch {
	case before.Equal(next):
	case before.ASN != next.ASN:
		out = append(out, report{fmt.Sprintf("peer %s: now AS %d, BGP session starts anew", name, next.ASN)})
	case !before.SameSession(next):
		out = append(out, report{"peer " + name + ": other rules for AS numbers and reflection, BGP session starts again"})
	default:
		out = append(out, report{"peer " + name + ": filters changed, session kept"})
	}
	return out
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
	before := len(p.attachments)
	for i, a := range have {
		if a != nil {
			continue
		}
		have[i] = &attachment{peer: p, name: p.freeName(), cfg: tunnels[i]}
		p.attachments = append(p.attachments, have[i])
		out = append(out, m.hopDown(have[i])...)
		if before > 0 {
			out = append(out, report{have[i].label() + ": tunnel added"})
		}
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

// changeTunnel takes an attachment's other config. It reports whether the tunnel stays.
func (m *machine) changeTunnel(a *attachment, next config.Tunnel) (out []effect, stays bool) {
	same := a.cfg.Trust.Equal(next.Trust)
	if !a.cfg.EqualButTrust(next) {
		out = m.remake(a)
		a.cfg = next
		return out, false
	}
	rekey := !same || !a.cfg.Trust.SameFiles(next.Trust)
	if a.cfg.Weight != next.Weight || a.cfg.Preference != next.Preference {
		m.changed = true // the preference is the neighbor's too
		out = append(out, report{fmt.Sprintf("%s: now weight %d and preference %d, session kept", a.label(), next.Weight, next.Preference)})
	}
	out = append(out, m.changeCongestion(a, next.Congestion)...)
	if a.cfg = next; !rekey {
		return out, true
	}
	line := ""
	if !same {
		line = a.label() + ": keys changed, a session stays whose key is still there"
	}
	if a.phase == phaseOpen {
		return append(out, setTrust{a.id, next, line}), true
	}
	a.rekey = a.phase == phaseOpening
	if line != "" {
		out = append(out, report{line})
	}
	return out, true
}

// changeCongestion takes another congestion control of a tunnel that stays.
func (m *machine) changeCongestion(a *attachment, next string) []effect {
	if a.cfg.Congestion == next {
		return nil
	}
	out := []effect{report{fmt.Sprintf("%s: congestion control %s, for connections from now on", a.label(), next)}}
	if a.phase == phaseOpen {
		return append(out, setCongestion{a.id, next})
	}
	a.recongest = a.phase == phaseOpening
	return out
}
