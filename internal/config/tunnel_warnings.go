package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// tunnels lists the tunnels of all peers.
func (c *Config) tunnels() (all []peerTunnel) {
	for i := range c.Peers {
		all = append(all, c.Peers[i].tunnels()...)
	}
	return all
}

// jitter is what the delay of a line may well vary by for a moment: a queue that fills, a
// radio link that changes its rate.
const jitter = 200 * time.Millisecond

func (l *loader) warnDeadAfter(t peerTunnel) {
	if at, given := t.raw.DeadAfter.isGiven(); given && t.DeadAfter > 0 && t.DeadAfter < jitter {
		l.fail(at, "%v is short: false alarms become possible on a line with jitter, where nothing may come through for as long now and then; "+
			"measure the line, or set at least %v", t.DeadAfter, jitter)
	}
}

// warnDialing is about keys that say how to choose among remotes where there is no choice. A
// name may have several addresses. A template's keys are for all that take it, whichever of
// them have remotes.
func (l *loader) warnDialing(t peerTunnel) {
	order, isOrder := ofPeer(&t.raw.RemoteOrder)
	back, isBack := ofPeer(&t.raw.ReturnToFirst)
	isOrder, isBack = isOrder && t.RemoteOrder != RemotesListed, isBack && t.ReturnToFirst
	if len(t.Remotes) == 0 {
		const nobody = "means nothing without remotes: this end waits for the peer to dial"
		if isOrder {
			l.fail(order, nobody)
		}
		if isBack {
			l.fail(back, nobody)
		}
		if at, given := ofPeer(&t.raw.ConnectTimeout); given {
			l.fail(at, nobody)
		}
		if at, given := ofPeer(&t.raw.UDPPort); given {
			l.fail(at, nobody)
		}
		return
	}
	if len(t.Remotes) > 1 {
		return
	}
	const one = "means nothing with one of remotes, %v: there is no other to choose"
	if isBack {
		l.fail(back, one, t.Remotes[0])
	}
	if _, err := netip.ParseAddr(t.Remotes[0].Host); err == nil && isOrder {
		l.fail(order, one, t.Remotes[0])
	}
}

// ofPeer is isGiven, without what is a template's.
func ofPeer(v interface{ isGiven() (place, bool) }) (place, bool) {
	at, given := v.isGiven()
	return at, given && at.template == ""
}

// warnWeight is about a weight that no other tunnel of this router is compared with.
func (l *loader) warnWeight(t peerTunnel, all []peerTunnel) {
	at, given := t.raw.Weight.isGiven()
	if !given || t.Weight == 1 {
		return
	}
	if !slices.ContainsFunc(all, func(o peerTunnel) bool { return o.Tunnel != t.Tunnel && o.Preference == t.Preference }) {
		l.fail(at, "%d means nothing: it is for shares among tunnels with the same preference, and no other tunnel of this router has the preference %d", t.Weight, t.Preference)
	}
}

// warnSeveral is about tunnels to one peer that do not differ in what they are several for.
func (l *loader) warnSeveral(tunnels []peerTunnel) {
	for i, t := range tunnels {
		for _, first := range tunnels[:i] {
			if shareLine(first, t) {
				l.fail(t.head, "leaves by the same interface for the same remotes as %s, with the same preference: one line carries both, and is shared for nothing; "+
					"set another underlay, remotes or preference", first.as(t))
				break
			}
		}
	}
	if len(tunnels) < 2 {
		return
	}
	first := tunnels[0].raw
	taken := func(inherited func(*rawTunnel) bool) bool {
		return !slices.ContainsFunc(tunnels[1:], func(t peerTunnel) bool { return !inherited(t.raw) })
	}
	const same = "%d is that of the other tunnels to the peer too, which take it from here: it makes no difference among them; write into each [[tunnel]] what is meant for it"
	if at, given := first.Preference.isGiven(); given && taken(func(t *rawTunnel) bool { return t.Preference.inherited }) {
		l.fail(at, same, tunnels[0].Preference)
	}
	if at, given := first.Weight.isGiven(); given && taken(func(t *rawTunnel) bool { return t.Weight.inherited }) {
		l.fail(at, same, tunnels[0].Weight)
	}
}

// shareLine reports whether one line carries two tunnels that are used at once, as far as
// this end can know: where it waits for the peer, the peer chooses the lines.
func shareLine(a, b peerTunnel) bool {
	known := a.Transport != TransportExternal && b.Transport != TransportExternal && (len(a.Remotes) > 0 || a.Underlay != "")
	same := len(a.Remotes) == len(b.Remotes) && // none is there twice
		!slices.ContainsFunc(a.Remotes, func(r Remote) bool { return !slices.Contains(b.Remotes, r) })
	return known && same && a.Underlay == b.Underlay && a.Preference == b.Preference
}

// warnSubnets is about addresses of two tunnels in one subnet. Link-local ones are of an
// interface each.
func (l *loader) warnSubnets(all []peerTunnel) {
	for i, t := range all {
		l.peer = t.peer
		for n, a := range t.Address {
			if a.Addr().IsLinkLocalUnicast() {
				continue
			}
			overlaps := func(o peerTunnel) bool { return slices.ContainsFunc(o.Address, a.Overlaps) }
			if o := slices.IndexFunc(all[:i], overlaps); o >= 0 {
				l.failElement(t.raw.Address.place, t.raw.Address.v.list[n], fmt.Errorf(
					"is in a subnet of %s too: the kernel sends to it by one of the two interfaces alone; take a subnet of its own for each tunnel", all[o].as(t)))
			}
		}
	}
}
