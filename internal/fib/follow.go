package fib

import (
	"errors"
	"iter"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// drain applies the events that wait, and returns how many datagrams they came in. If
// some were lost the picture is stale.
func (f *FIB) drain() (int, error) {
	f.sending.Lock() // an event of what has followed a write is not to be read before the write is noted
	defer f.sending.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.drainLocked()
}

func (f *FIB) drainLocked() (int, error) {
	n, err := f.events.Drain(f.applyLocked)
	if errors.Is(err, rtnl.ErrLost) {
		f.log.Info("fib: more events than the socket buffer holds, reading all routes again")
		f.staleLocked()
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
			f.forgetLinkLocked(l.Index)
			f.pic.removeLink(l.Index)
			f.linkChangedLocked(l.Name, false)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		f.applyAddrLocked(h, b)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		if n, ok := rtnl.ParseNextHop(b); ok && n.ID >= firstObject && n.ID <= lastObject {
			f.objects.stale, f.objects.dirty = true, true
			f.signal()
		}
	}
}

func (f *FIB) applyRouteLocked(h rtnl.Header, r rtnl.Route) {
	_, blocked := f.failed[r.Prefix]
	switch {
	case h.Type == unix.RTM_NEWROUTE && h.Flags&unix.NLM_F_REPLACE != 0 && f.pic.hasMetric(r.Prefix, r.Metric):
		// The event names the new route, not the one that it took the place of.
		f.staleLocked()
	case h.Type == unix.RTM_NEWROUTE && f.pic.owned(r):
		e := f.pic.entry(r.Prefix)
		f.pic.addTo(e, f.pic.held(r))
		f.queueLocked(e)
	case h.Type == unix.RTM_DELROUTE && f.pic.owned(r):
		h := f.pic.held(r)
		f.pic.via.use(h.gateway())
		if e := f.pic.known(r.Prefix); e != nil && f.pic.removeFrom(e, h) {
			f.queueLocked(e)
		}
		f.pic.via.release(h.gateway())
	case h.Type == unix.RTM_DELROUTE && blocked:
		f.queueLocked(f.pic.entry(r.Prefix))
	}
}

func (f *FIB) applyLinkLocked(l rtnl.Link) {
	before := f.pic.setLink(l)
	if before.Up && !l.Up {
		f.forgetLinkLocked(l.Index)
	}
	if before.Name != l.Name {
		f.linkChangedLocked(before.Name, false)
	}
	if before != l {
		f.linkChangedLocked(l.Name, before.Name == l.Name && before.Up == l.Up)
	}
}

// forgetLinkLocked drops the routes of a link, which the kernel has flushed. Of most of the
// links that come and go on a busy machine there are none.
func (f *FIB) forgetLinkLocked(index uint32) {
	if f.pic.onLink[index] == 0 {
		return
	}
	f.flushes++
	for e := range f.pic.entries.all() {
		if f.pic.removeIf(e, func(n node) bool { return n.index == index }) {
			f.queueLocked(e)
		}
	}
}

// linkChangedLocked looks again at what uses an interface that came, went, or has another
// state; carrier: it is only its carrier that has changed, which a single hop does not mind. The kernel removes the next-hop objects of one that goes down or loses its
// carrier without an event (net/ipv4/nexthop.c, nh_netdev_event).
func (f *FIB) linkChangedLocked(name string, carrier bool) {
	f.queueWantersLocked(maps.Keys(f.sets.using(name)), func(of *set) bool {
		switch {
		case !of.hasSeveral():
			return !carrier
		case f.noObjects:
			return true
		}
		f.objects.stale, f.objects.dirty = true, true
		f.signal()
		return false
	})
}

// queueWantersLocked queues the prefixes that want those of some sets.
func (f *FIB) queueWantersLocked(among iter.Seq[*set], those func(*set) bool) {
	wanted := make([]bool, len(f.sets.list)) // by the set's number
	for of := range among {
		wanted[of.number] = those(of)
	}
	if !slices.Contains(wanted, true) {
		return
	}
	for e := range f.pic.entries.all() {
		if wanted[e.want] {
			f.queueLocked(e)
		}
	}
}

// applyAddrLocked looks for addresses that routes depend on. An IPv4 address
// that goes takes the routes with it that prefer it as their source, and the
// last one of an interface takes all of the interface's (net/ipv4/
// fib_frontend.c, fib_inetaddr_event); IPv6 routes lose their preferred source.
func (f *FIB) applyAddrLocked(h rtnl.Header, b []byte) {
	a, ok := rtnl.ParseAddress(b)
	if !ok {
		return
	}
	index, addr := a.Index, a.Prefix.Addr()
	isSource := addr == f.cfg.Source4 || addr == f.cfg.Source6
	used := f.pic.onLink[index] > 0 || len(f.sets.using(f.pic.links[index].Name)) > 0
	switch {
	case h.Type == unix.RTM_NEWADDR && isSource:
		f.queueFailedLocked()
	case h.Type == unix.RTM_DELADDR && (isSource || used && addr.Is4()):
		f.lookLocked(settle)
	}
}
