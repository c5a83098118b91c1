package agent

import (
	"maps"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp"
)

// setUnreachable finds out what must not take another way. In another table than
// main, which rules mostly have looked up before it, an unreachable network would hide
// the parts of it that main has.
func (l *loop) setUnreachable() {
	var always []netip.Prefix
	if l.cfg.FIB.Table == unix.RT_TABLE_MAIN {
		always = unreachable(l.cfg.Announce.Networks, l.locals.Connected())
	}
	keeps := map[string]bool{}
	for _, p := range l.cfg.Peers {
		always = append(always, p.BGP.Unreachable...)
		if p.BGP.KeepLearned {
			keeps[p.Name] = true
		}
	}
	if !maps.Equal(keeps, l.keeps) { // a reload may say so of what is there
		l.keeps = keeps
		l.state.kept.forget(func(peer string) bool { return keeps[peer] })
		for prefix, from := range l.state.learned {
			if peer := from.neighbors[0]; keeps[peer] {
				l.keep(prefix, peer)
			}
		}
	}
	l.state.setNoIPv6(!l.hasIPv6())
	l.state.setUnreachable(always)
	l.tellUnreachable()
}

// tellUnreachable tells the guard whether there is anything unreachable.
func (l *loop) tellUnreachable() {
	l.guard.SetUnreachable(len(l.state.unreachable)+len(l.state.kept.prefixes) > 0)
}

// keep remembers a prefix that was learned first of all from a peer with unreachable = true. There
// is room for what it may announce in both families twice.
func (l *loop) keep(prefix netip.Prefix, peer string) {
	if p := l.peers[peer]; p != nil && p.cfg.BGP.KeepLearned {
		l.state.kept.learn(prefix, peer, 4*p.cfg.BGP.MaxPrefixes, l.state.learned)
	}
}

// forgetWithdrawn lets go of what peers that are there do not announce any more.
func (l *loop) forgetWithdrawn(now time.Time) {
	if len(l.state.kept.prefixes) == 0 {
		return
	}
	neighbors := map[string]bgp.NeighborStatus{}
	for _, n := range l.speaker.Neighbors() {
		neighbors[n.Name] = n
	}
	l.state.kept.sweep(now, l.state.learned, neighbors)
}
