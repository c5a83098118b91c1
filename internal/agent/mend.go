package agent

import (
	"errors"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/internal/link"
	"warren/tunnel/tun"
)

// mend puts right what was changed from outside on the interfaces of tunnels. all says to
// look closely also at those that seem to be well. One that is not where it was made, by its
// name and index, is given up for another.
func (l *loop) mend(all bool) {
	var events []event
	seen, looked := l.locals.Interfaces()
	now, conditions := l.now(), l.m.conditions
	l.m.all(func(a *attachment) {
		h, ok := l.handles.tunnels[a.id]
		if a.phase != phaseOpen || !ok || !conditions.due(now, about(kindInterface, a)) {
			return
		}
		i := seen[a.cfg.Interface]
		index := h.Index()
		moved := index != 0 && i.Index != index && h.opened.Before(looked)
		if all || moved || i.Persistent || looksWrong(a, i) || conditions.again(now, about(kindInterface, a)) {
			ev, there := mendDevice(a.id, h)
			if ev != nil {
				events = append(events, ev)
			}
			if !there {
				return
			}
		}
		// What was set since cannot have been seen.
		switch back := about(kindAddressesBack, a); {
		case !a.up() || !a.session.addressed.Before(looked):
		case lacks(i.Addresses, a.session.addresses):
			events = append(events, stripped{a.id})
		case conditions.error(back) != nil: // something else has given them back
			events = append(events, tried{back, nil})
		}
	})
	l.play(events...)
}

// looksWrong reports whether an interface has a carrier without a tunnel, or none with one. One of the kernel's WireGuard always
// has, and nothing but the tunnel takes it up.
func looksWrong(a *attachment, i link.Interface) bool {
	if a.cfg.Datapath == config.DatapathKernel {
		return !i.Up
	}
	return i.Up && i.Carrier != a.up()
}

// mendDevice has the tunnel compare its interface with what it should be: its carrier is
// the transport's to set, and an interface that outlives the daemon would go on taking
// packets that nobody carries. It reports whether the interface is there.
func mendDevice(id uint64, h handle) (ev event, there bool) {
	changed, err := h.Mend()
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, os.ErrClosed):
		return nil, false // the tunnel itself will tell
	case errors.Is(err, tun.ErrLost):
		return gone{id, err}, false
	}
	return mended{id, changed, err}, true
}

// lacks reports whether one of the wanted addresses is not there.
func lacks(have []netip.Addr, want []netip.Prefix) bool {
	return slices.ContainsFunc(want, func(p netip.Prefix) bool { return !slices.Contains(have, p.Addr()) })
}
