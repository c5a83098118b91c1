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
		l.warnRandomFirst(t)
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

// warnRandomFirst is about two keys that undo one another, wherever they are written.
func (l *loader) warnRandomFirst(t peerTunnel) {
	if t.RemoteOrder != RemotesRandom || !t.ReturnToFirst {
		return
	}
	at, here := t.raw.ReturnToFirst.isGiven()
	if !here {
		at, here = t.raw.RemoteOrder.isGiven()
	}
	if here {
		l.fail(at, "return_to_first goes back to %v, the first that is listed, and so undoes remote_order = %q: leave one of the two out", t.Remotes[0], RemotesRandom)
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

// warnInternal is about a preference that is to choose among the lines to another router in this one's AS, and over iBGP counts
// before everything else: what that router passes on of other peers is preferred to what these announce here. It is raised
// at both ends, so that no preference of the other peers' is enough. A client of this reflector is a spoke, and passes nothing on.
func (l *loader) warnInternal(c *Config, p *Peer) {
	tunnels := p.tunnels()
	if p.BGP.ASN != c.ASN || p.BGP.RouteReflectorClient || len(tunnels) < 2 {
		return
	}
	best := slices.MaxFunc(tunnels, func(a, b peerTunnel) int { return a.Preference - b.Preference })
	if !slices.ContainsFunc(tunnels, func(t peerTunnel) bool { return t.Preference != best.Preference }) {
		return
	}
	for i := range c.Peers {
		o := &c.Peers[i]
		if o == p || o.BGP.ASN == c.ASN && !o.BGP.RouteReflectorClient || !overlap(p.BGP.Import, o.BGP.Import) {
			continue
		}
		l.fail(best.raw.Preference.place, "%d is for all that this peer announces, and over iBGP counts before everything else: what it passes on of %s is preferred to what %[2]s announces here, "+
			"whatever preference that has; let the lines share the traffic by weight, such as 256 and 1, or give the two routers an AS number each, and %[2]s at least this preference", best.Preference, o.Name)
		return
	}
}

// overlap reports whether there are prefixes that both policies import.
func overlap(a, b Policy) bool {
	some := func(p Policy) bool { return p.Any || len(p.Prefixes) > 0 }
	if a.Default && b.Default || a.Any && some(b) || b.Any && some(a) {
		return true
	}
	return slices.ContainsFunc(a.Prefixes, func(f PrefixFilter) bool {
		return slices.ContainsFunc(b.Prefixes, func(o PrefixFilter) bool { return f.Prefix.Overlaps(o.Prefix) })
	})
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
