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
	keeps := map[string]int{}
	for _, p := range l.peers() {
		always = append(always, p.BGP.Unreachable...)
		if p.BGP.KeepLearned {
			keeps[p.Name] = p.BGP.MaxPrefixes
		}
	}
	if !maps.Equal(keeps, l.keeps) { // a reload may say so of what is there
		l.keeps = keeps
		l.state.catchUp()
		l.state.kept.forget(func(peer string) bool { _, keeps := keeps[peer]; return keeps })
		for prefix, id := range l.state.learned.All() {
			l.keep(prefix, l.state.origins[id].neighbors[0])
		}
	}
	l.state.setNoIPv6(!l.hasIPv6())
	l.state.setUnreachable(always)
	l.tellUnreachable()
}

// tellUnreachable tells the guard whether there is anything unreachable. During a resumption the kernel has the routes of
// the daemon before.
func (l *loop) tellUnreachable() {
	l.guard.SetUnreachable(l.isUnreachable() || l.resuming != nil && l.resuming.from.Unreachable)
}

// isUnreachable reports whether anything is.
func (l *loop) isUnreachable() bool { return len(l.state.unreachable)+len(l.state.kept.prefixes) > 0 }

// keep remembers a prefix that was learned first of all from a neighbor of a peer with
// unreachable = true. There is room for what it may announce in both families twice.
func (l *loop) keep(prefix netip.Prefix, neighbor string) {
	peer := peerOf(neighbor)
	if most, keeps := l.keeps[peer]; keeps {
		l.state.kept.learn(prefix, peer, 4*most, l.state.learned.Has)
	}
}

// forgetWithdrawn lets go of what peers that are there do not announce any more.
func (l *loop) forgetWithdrawn(now time.Time) {
	if len(l.state.kept.prefixes) == 0 {
		return
	}
	l.state.kept.sweep(now, l.state.learned.Has, established(l.speaker.Neighbors()))
}

// established says since when each peer has a session: the oldest of several. Those without
// one are not in it.
func established(neighbors []bgp.NeighborStatus) map[string]time.Time {
	since := map[string]time.Time{}
	for _, n := range neighbors {
		if n.State != stateEstablished {
			continue
		}
		peer := peerOf(n.Name)
		if before, ok := since[peer]; !ok || n.Since.Before(before) {
			since[peer] = n.Since
		}
	}
	return since
}
