package fib

import (
	"errors"

	"golang.org/x/sys/unix"
)

// drain applies the events that wait to the picture, and returns how many
// datagrams they came in. If some were lost the picture is stale.
func (f *FIB) drain(fd uintptr) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.drainLocked(fd)
}

func (f *FIB) drainLocked(fd uintptr) (int, error) {
	n, err := f.events.drain(fd, f.applyLocked)
	if errors.Is(err, errLost) {
		f.log.Info("fib: more events than the socket buffer holds, reading all routes again")
		f.pic.stale = true
		f.signal()
		return n, nil
	}
	return n, err
}

func (f *FIB) applyLocked(h header, b []byte) {
	switch h.typ {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if r, ok := parseRoute(b); ok && r.table == uint32(f.cfg.Table) {
			f.applyRouteLocked(h, r)
		}
	case unix.RTM_NEWLINK:
		if l, ok := parseLink(b); ok {
			f.applyLinkLocked(l)
		}
	case unix.RTM_DELLINK:
		if l, ok := parseLink(b); ok {
			f.pic.forgetLink(l.index)
			f.pic.removeLink(l.index)
			f.signalForLocked(l.name)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		f.applyAddrLocked(h, b)
	}
}

func (f *FIB) applyRouteLocked(h header, r route) {
	_, blocked := f.failed[r.prefix]
	switch {
	case h.typ == unix.RTM_NEWROUTE && h.flags&unix.NLM_F_REPLACE != 0 && f.pic.hasMetric(r.prefix, r.metric):
		// The event names the new route, not the one that it took the place of.
		f.pic.stale = true
		f.signal()
	case h.typ == unix.RTM_NEWROUTE && f.pic.owned(r):
		f.pic.add(r.prefix, f.pic.held(r), 0)
		f.signal()
	case h.typ == unix.RTM_DELROUTE && f.pic.owned(r):
		if f.pic.remove(r.prefix, f.pic.held(r)) {
			f.signal()
		}
	case h.typ == unix.RTM_DELROUTE && blocked:
		f.signal()
	}
}

func (f *FIB) applyLinkLocked(l linkInfo) {
	before := f.pic.setLink(l)
	if before.up && !l.up {
		f.pic.forgetLink(l.index)
	}
	if before.up != l.up || before.name != l.name {
		f.signalForLocked(before.name)
		f.signalForLocked(l.name)
	}
}

// applyAddrLocked looks for addresses that routes depend on. An IPv4 address
// that goes takes the routes with it that prefer it as their source, and the
// last one of an interface takes all of the interface's (net/ipv4/
// fib_frontend.c, fib_inetaddr_event); IPv6 routes lose their preferred source.
func (f *FIB) applyAddrLocked(h header, b []byte) {
	index, addr, ok := parseAddr(b)
	if !ok {
		return
	}
	_, used := f.names[f.pic.links[index].name]
	isSource := addr == f.cfg.Source4 || addr == f.cfg.Source6
	switch {
	case h.typ == unix.RTM_NEWADDR && isSource && len(f.failed) > 0:
		f.signal()
	case h.typ == unix.RTM_DELADDR && (isSource || used && addr.Is4()):
		f.resyncLocked(settle)
	}
}

// signalForLocked signals if the interface has wanted routes.
func (f *FIB) signalForLocked(name string) {
	if _, used := f.names[name]; used {
		f.signal()
	}
}
