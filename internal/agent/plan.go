package agent

import (
	"fmt"
	"slices"
	"strings"

	"warren/internal/config"
	"warren/internal/status"
)

// This file decides what becomes of the peers when others are configured. configure.go does that, and
// `warren reload --dry-run` only tells it: there is no other place in which it is decided.

// peerPlan is what becomes of one peer.
type peerPlan struct {
	peer    *peer // nil: it is added
	next    wantedPeer
	fate    peerFate
	tunnels []tunnelPlan    // of a peer that changes: those that go, then the next ones in their order
	lines   []status.Change // about the peer as a whole
}

type peerFate int

const (
	peerChanges  peerFate = iota // or stays as it is: by its tunnels and lines
	peerAdded                    //
	peerRemoved                  // next is the zero one
	peerRebuilt                  // it is reached by tunnels now, and was not, or the other way round
	networkMoved                 // it is elsewhere on a network, or on another
	networkAgain                 // on its network, with another session
	networkStays                 // on its network, with the same session
)

// tunnelPlan is what becomes of one of a peer's tunnels.
type tunnelPlan struct {
	at    *attachment // nil: it is added
	next  config.Tunnel
	fate  tunnelFate
	keys  *status.Change // other keys, in a tunnel that stays; nil: the same
	lines []status.Change
}

type tunnelFate int

const (
	tunnelStays tunnelFate = iota
	tunnelAdded
	tunnelRemoved // next is the zero one
	tunnelRemade
)

// changes lists what the plan changes.
func (p peerPlan) changes() []status.Change {
	all := slices.Clone(p.lines)
	for _, t := range p.tunnels {
		all = append(all, t.lines...)
		if t.keys != nil {
			all = append(all, *t.keys)
		}
	}
	return all
}

// planning makes the plans of all peers.
type planning struct {
	m     *machine
	known map[*attachment]config.Tunnel // what the tunnels that are open know their peers by, as the plan goes on
}

// plan decides what becomes of the peers if these are configured. It changes nothing.
func (m *machine) plan(next []wantedPeer) (all []peerPlan) {
	stays := map[string]bool{}
	for _, n := range next {
		stays[n.name] = true
	}
	for _, name := range sortedKeys(m.peers) {
		if !stays[name] {
			line := status.Change{Peer: name, Effect: status.ChangeRemoved, Text: "peer " + name + ": removed"}
			all = append(all, peerPlan{peer: m.peers[name], fate: peerRemoved, lines: []status.Change{line}})
		}
	}
	pl := planning{m: m, known: map[*attachment]config.Tunnel{}}
	m.all(func(a *attachment) {
		if a.phase == phaseOpen {
			pl.known[a] = a.cfg
		}
	})
	for _, n := range next {
		if p := m.peers[n.name]; p != nil {
			all = append(all, pl.change(p, n))
			continue
		}
		line := status.Change{Peer: n.name, Effect: status.ChangeAdded, Text: "peer " + n.name + ": added"}
		all = append(all, peerPlan{next: n, fate: peerAdded, lines: []status.Change{line}})
	}
	return all
}

// change decides about a peer that stays.
func (pl planning) change(p *peer, next wantedPeer) peerPlan {
	if p.bgp.LAN.IsSet() || next.bgp.LAN.IsSet() {
		return pl.m.planNetwork(p, next)
	}
	plan := peerPlan{peer: p, next: next}
	matched := match(p.attachments, next.tunnels)
	for _, a := range p.attachments {
		if !slices.Contains(matched, a) {
			t := tunnelPlan{at: a, fate: tunnelRemoved}
			t.note(a, status.ChangeRemoved, nil, ": tunnel removed")
			plan.tunnels = append(plan.tunnels, t)
		}
	}
	stayed := false
	taken := attachmentNames(matched)
	for i, a := range matched {
		if a == nil {
			added := &attachment{peer: p, name: freeName(p.name, taken), cfg: next.tunnels[i]}
			taken[added.name] = true
			t := tunnelPlan{next: next.tunnels[i], fate: tunnelAdded}
			t.note(added, status.ChangeAdded, nil, ": tunnel added")
			plan.tunnels = append(plan.tunnels, t)
			continue
		}
		t := pl.changeTunnel(a, next.tunnels[i])
		stayed = stayed || t.fate == tunnelStays
		plan.tunnels = append(plan.tunnels, t)
	}
	if stayed {
		plan.lines = pl.m.changedBGP(p, next.bgp)
	}
	return plan
}

// changeTunnel decides about a tunnel that is configured still.
func (pl planning) changeTunnel(a *attachment, next config.Tunnel) tunnelPlan {
	t := tunnelPlan{at: a, next: next}
	if keys := a.cfg.RemadeBy(next); len(keys) > 0 {
		t.fate = tunnelRemade
		for _, key := range a.cfg.KnownBy(next) {
			if !slices.Contains(keys, key) { // an interface of the kernel's is remade for others
				keys = append(keys, key)
			}
		}
		t.note(a, status.ChangeTunnel, keys, remadeText)
		return t
	}
	keys := a.cfg.Trust.KnownBy(next.Trust)
	if len(keys) > 0 && !pl.take(a, next) {
		t.fate = tunnelRemade
		t.note(a, status.ChangeTunnel, keys, remadeText)
		return t
	}
	if shared := a.cfg.SharedBy(next); len(shared) > 0 {
		t.note(a, status.ChangeKept, shared, fmt.Sprintf(": now weight %d and preference %d, session kept", next.Weight, next.Preference))
	}
	if a.cfg.Congestion != next.Congestion {
		t.note(a, status.ChangeKept, []string{"tunnel.congestion"}, ": congestion control "+next.Congestion+", for connections from now on")
	}
	if marked := a.cfg.MarkedBy(next); len(marked) > 0 {
		t.note(a, status.ChangeKept, marked, ": packets from now on with "+markingText(next)+", session kept")
	}
	if len(keys) > 0 {
		effect, text := pl.m.keysChange(a, next)
		t.keys = &status.Change{Peer: a.peer.name, Interface: a.cfg.Interface, Effect: effect, Keys: keys, Text: a.label() + text + because(keys)}
	}
	return t
}

const remadeText = ": tunnel changed, reconnecting"

// take reports whether an open tunnel can take other keys over while it is at work. That is not so
// while another has one of them.
func (pl planning) take(a *attachment, next config.Tunnel) bool {
	for other, has := range pl.known {
		if other != a && has.Claims(next) {
			return false
		}
	}
	if _, open := pl.known[a]; open {
		pl.known[a] = next
	}
	return true
}

// note adds a line about the tunnel of an attachment.
func (t *tunnelPlan) note(a *attachment, effect string, keys []string, text string) {
	t.lines = append(t.lines, status.Change{
		Peer: a.peer.name, Interface: a.cfg.Interface, Effect: effect, Keys: keys, Text: a.label() + text + because(keys),
	})
}

// because names the keys that are others.
func because(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return " (" + strings.Join(keys, ", ") + ")"
}

// changedBGP says what is another about the BGP side of a peer that stays where it is.
func (m *machine) changedBGP(p *peer, next config.PeerBGP) []status.Change {
	name, before := p.name, p.bgp
	c := status.Change{Peer: name, Effect: status.ChangeSession, Keys: before.SessionBy(next)}
	switch {
	case before.Equal(next):
		return nil
	case before.ASN != next.ASN:
		c.Text = fmt.Sprintf("peer %s: now AS %d, BGP session starts again", name, next.ASN)
	case !before.SameSession(next):
		c.Text = "peer " + name + ": other rules for AS numbers and reflection, BGP session starts again"
	default:
		c.Effect, c.Keys = status.ChangeRefresh, before.FilteredBy(next)
		c.Text = "peer " + name + ": filters changed, session kept"
		// The limit is per family, and how many the peer announces is known of both together.
		switch n := m.announces(p); {
		case next.HardMaxPrefixes == before.HardMaxPrefixes || n <= next.HardMaxPrefixes:
		case n > 2*next.HardMaxPrefixes:
			c.Effect = status.ChangeSession
			c.Text = fmt.Sprintf("peer %s: the session ends, as the peer announces %d prefixes and may announce %d of a family", name, n, next.HardMaxPrefixes)
		default:
			c.Text = fmt.Sprintf("peer %s: filters changed, session kept unless more than %d of the %d prefixes that the peer announces are of one family",
				name, next.HardMaxPrefixes, n)
		}
	}
	c.Text += because(c.Keys)
	return []status.Change{c}
}

// announces is the greatest number of prefixes that a peer announces over one attachment, as far as is known.
func (m *machine) announces(p *peer) (most int) {
	for _, a := range p.attachments {
		most = max(most, m.announced[a.name])
	}
	return most
}

// planNetwork decides about a peer that is, or was, on a network.
func (m *machine) planNetwork(p *peer, next wantedPeer) peerPlan {
	plan, before, is := peerPlan{peer: p, next: next}, p.bgp.LAN, next.bgp.LAN
	line := status.Change{Peer: p.name, Effect: status.ChangeSession}
	switch {
	case before.IsSet() && !is.IsSet():
		plan.fate, line.Effect, line.Text = peerRebuilt, status.ChangeTunnel, ": reached by a tunnel now"
	case !before.IsSet():
		plan.fate, line.Effect, line.Text = peerRebuilt, status.ChangeTunnel, ": reached without a tunnel now"
	case !before.SamePlace(is):
		plan.fate, line.Keys, line.Text = networkMoved, before.PlacedBy(is), ": at another address or interface, BGP session starts again"
	case !before.Equal(is):
		plan.fate, line.Keys, line.Text = networkAgain, before.SecuredBy(is), ": another password or ttl_security, BGP session starts again"
	default:
		plan.fate, plan.lines = networkStays, m.changedBGP(p, next.bgp)
		return plan
	}
	line.Text = "peer " + p.name + line.Text + because(line.Keys)
	plan.lines = []status.Change{line}
	return plan
}
