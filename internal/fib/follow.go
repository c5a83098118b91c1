package fib

import (
	"errors"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// drain applies the events that wait to the picture, and returns how many
// datagrams they came in. If some were lost the picture is stale.
func (f *FIB) drain() (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.drainLocked()
}

func (f *FIB) drainLocked() (int, error) {
	n, err := f.events.Drain(f.applyLocked)
	if errors.Is(err, rtnl.ErrLost) {
		f.log.Info("fib: more events than the socket buffer holds, reading all routes again")
		f.pic.stale = true
		f.signal()
		return n, nil
	}
	return n, err
}

func (f *FIB) applyLocked(h rtnl.Header, b []byte) {
	switch h.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if r, ok := rtnl.ParseRoute(b); ok && r.Table == uint32(f.cfg.Table) {
			f.applyRouteLocked(h, r)
		}
	case unix.RTM_NEWLINK:
		if l, ok := rtnl.ParseLink(b); ok {
			f.applyLinkLocked(l)
		}
	case unix.RTM_DELLINK:
		if l, ok := rtnl.ParseLink(b); ok {
			f.pic.forgetLink(l.Index)
			f.pic.removeLink(l.Index)
			f.signalForLocked(l.Name)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		f.applyAddrLocked(h, b)
	}
}

func (f *FIB) applyRouteLocked(h rtnl.Header, r rtnl.Route) {
	_, blocked := f.failed[r.Prefix]
	switch {
	case h.Type == unix.RTM_NEWROUTE && h.Flags&unix.NLM_F_REPLACE != 0 && f.pic.hasMetric(r.Prefix, r.Metric):
		// The event names the new route, not the one that it took the place of.
		f.pic.stale = true
		f.signal()
	case h.Type == unix.RTM_NEWROUTE && f.pic.owned(r):
		f.pic.add(r.Prefix, f.pic.held(r), 0)
		f.signal()
	case h.Type == unix.RTM_DELROUTE && f.pic.owned(r):
		if f.pic.remove(r.Prefix, f.pic.held(r)) {
			f.signal()
		}
	case h.Type == unix.RTM_DELROUTE && blocked:
		f.signal()
	}
}

func (f *FIB) applyLinkLocked(l rtnl.Link) {
	before := f.pic.setLink(l)
	if before.Up && !l.Up {
		f.pic.forgetLink(l.Index)
	}
	if before.Up != l.Up || before.Name != l.Name {
		f.signalForLocked(before.Name)
		f.signalForLocked(l.Name)
	}
}

// applyAddrLocked looks for addresses that routes depend on. An IPv4 address
// that goes takes the routes with it that prefer it as their source, and the
// last one of an interface takes all of the interface's (net/ipv4/
// fib_frontend.c, fib_inetaddr_event); IPv6 routes lose their preferred source.
func (f *FIB) applyAddrLocked(h rtnl.Header, b []byte) {
	index, addr, ok := rtnl.ParseAddr(b)
	if !ok {
		return
	}
	_, used := f.names[f.pic.links[index].Name]
	isSource := addr == f.cfg.Source4 || addr == f.cfg.Source6
	switch {
	case h.Type == unix.RTM_NEWADDR && isSource && len(f.failed) > 0:
		f.signal()
	case h.Type == unix.RTM_DELADDR && (isSource || used && addr.Is4()):
		f.resyncLocked(settle)
	}
}

// signalForLocked signals if the interface has wanted routes.
func (f *FIB) signalForLocked(name string) {
	if _, used := f.names[name]; used {
		f.signal()
	}
}
