package auto

import (
	"net/netip"
	"time"
)

// The remotes of a tunnel may be several routers, and both transports are to be carried to the same one: another that counts the tunnel
// as up announces what is behind this end, and what comes there gets lost. Both begin with the same order of remotes
// (internal/agent). From then on WireGuard goes only where TLS is, whose hello says who is there and which costs more to move; TLS
// begins where WireGuard is, when it has lost its session.

// together is about that. It belongs to the goroutine of Run.
type together struct {
	tls   netip.AddrPort // where WireGuard was told that TLS is; not valid: nowhere
	wg    netip.AddrPort // where TLS was told that WireGuard is, likewise
	since time.Time      // when the router at the other end of TLS heard nothing over WireGuard first; zero: it does, or one of them is down
	wait  time.Duration  // for how long that may be so; 0: apartFor
}

// Bounds on the time for which the router that TLS is connected to may hear nothing over WireGuard, though that is up, before it looks
// elsewhere: in reports where it is known to be at another address, and where it seems to be at the same one a time that
// doubles, as what is sent there may get lost.
const (
	strayTicks = 2
	apartFor   = 5 * time.Second
	apartMost  = time.Minute
)

// follow tells each transport where the other one is.
func (l *Link) follow() {
	var tls, wg netip.AddrPort
	if l.facts.up[TLS] {
		tls = l.tls.Status().Remote
	}
	if l.facts.up[WireGuard] {
		wg = l.wg.Status().Remote
	}
	if t := &l.together; t.tls != tls {
		t.tls = tls
		l.wg.Join(tls)
	}
	if t := &l.together; t.wg != wg {
		t.wg = wg
		l.tls.TryFirst(wg)
	}
	f := &l.facts
	f.at = wg.Addr().Unmap()
	f.astray = l.cfg.Dials && f.at != tls.Addr().Unmap()
	f.other = f.astray && f.at.Is4() == tls.Addr().Unmap().Is4()
}

// keepTogether has WireGuard look for another router than the one that it has found, where that is not the one which TLS is connected to.
func (l *Link) keepTogether(now time.Time) {
	l.follow()
	f, t := &l.facts, &l.together
	wait := max(t.wait, apartFor)
	if f.astray {
		wait = strayTicks * l.tick
	}
	switch {
	case !f.up[TLS] || !f.up[WireGuard] || !f.reports:
		t.since = time.Time{}
	case f.hears:
		t.since, t.wait = time.Time{}, 0
	case t.since.IsZero():
		t.since = now
	case now.Sub(t.since) >= wait:
		if t.since = (time.Time{}); !f.astray {
			t.wait = min(2*wait, apartMost)
		}
		l.wg.Leave()
	}
}
