package agent

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/link"
	"warren/tunnel/tun"
)

// mendSilence is how long the log says nothing more of an interface that something else
// changes again and again.
const mendSilence = time.Minute

// mend puts right what was changed from outside on the interfaces of tunnels. all says to
// look closely also at those that seem to be well. One that is not where it was made, by its
// name and index, is given up for another.
func (l *loop) mend(ctx context.Context, all bool) {
	seen, looked := l.locals.Interfaces()
	for _, p := range l.peers {
		if p.tunnel == nil {
			continue
		}
		i := seen[p.cfg.Tunnels[0].Interface]
		index := p.tunnel.Index()
		moved := index != 0 && i.Index != index && p.opened.Before(looked)
		if (all || moved || i.Persistent || i.Up && i.Carrier != (p.session != nil)) && !l.mendDevice(ctx, p) {
			continue
		}
		// What was set since cannot have been seen.
		if p.session != nil && p.session.addressed.Before(looked) && lacks(i.Addresses, p.session.addresses) {
			l.mendAddresses(p)
		}
	}
}

// mendDevice has the tunnel compare its interface with what it should be: its carrier is
// the transport's to set, and an interface that outlives the daemon would go on taking
// packets that nobody carries. It reports whether the interface is there.
func (l *loop) mendDevice(ctx context.Context, p *peer) bool {
	changed, err := p.tunnel.Mend()
	if errors.Is(err, unix.ENODEV) || errors.Is(err, os.ErrClosed) {
		return false // the tunnel itself will tell
	}
	if errors.Is(err, tun.ErrLost) {
		l.tunnelFailed(ctx, p, err)
		return false
	}
	if len(changed) == 0 && err == nil || time.Since(p.mended) < mendSilence {
		return true
	}
	p.mended = time.Now()
	if err != nil {
		l.log.Error("cannot put the tunnel's interface right; trying again", "peer", p.cfg.Name, "err", err)
		return true
	}
	l.log.Warn("put right what something else had changed of the tunnel's interface",
		"peer", p.cfg.Name, "interface", p.cfg.Tunnels[0].Interface, "changed", strings.Join(changed, ","))
	return true
}

// mendAddresses gives an interface back what somebody took from it. The kernel
// itself takes IPv6 addresses when an interface is set down, and does not bring
// them back when it is set up; without, its session could never return.
func (l *loop) mendAddresses(p *peer) {
	addresses, err := p.tunnel.SetAddresses(p.session.locals()...)
	if errors.Is(err, link.ErrNotFound) || errors.Is(err, tun.ErrLost) {
		return // the tunnel itself will tell, or the next look
	}
	l.troubles.note("give the tunnel's interface its addresses back", p.cfg.Name, err)
	if p.err = err; err != nil {
		return
	}
	l.log.Warn("gave the tunnel's interface the addresses back that it had lost", "peer", p.cfg.Name)
	p.session.addresses, p.session.addressed = addresses, time.Now()
}

// lacks reports whether one of the wanted addresses is not there.
func lacks(have []netip.Addr, want []netip.Prefix) bool {
	return slices.ContainsFunc(want, func(p netip.Prefix) bool { return !slices.Contains(have, p.Addr()) })
}
