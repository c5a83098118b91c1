package fib

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// source tells where a route's preferred source comes from. Three values say
// all that a comparison needs, and keep a million routes small.
type source uint8

const (
	sourceNone source = iota
	sourceOurs        // the configured one of the route's family
	sourceOther
)

// held is an owned route in the kernel, without its prefix.
type held struct {
	metric uint32
	index  uint32
	src    source
	typ    uint8
	tos    uint8
	odd    bool
}

// node is one of the owned routes of a prefix. There is seldom more than one:
// only after a crash, or when someone else uses our protocol number.
type node struct {
	held
	seen uint32 // the last plan that wanted it, or that removes it
	next *node
}

// picture is what we believe is in the kernel. Guarded by FIB.mu.
type picture struct {
	cfg    *Config
	stale  bool // it may be wrong: dump before use
	routes map[netip.Prefix]*node
	count  int            // nodes in routes
	onLink map[uint32]int // the same by link
	links  map[uint32]rtnl.Link
	index  map[string]uint32 // of each link, by name
}

// reset empties the picture before a dump.
func (p *picture) reset() {
	p.routes = make(map[netip.Prefix]*node, len(p.routes))
	p.count = 0
	p.onLink = make(map[uint32]int, len(p.onLink))
	p.links = make(map[uint32]rtnl.Link, len(p.links))
	p.index = make(map[string]uint32, len(p.index))
}

// owned reports whether r is one of ours.
func (p *picture) owned(r rtnl.Route) bool {
	return r.Protocol == uint8(p.cfg.Protocol) && r.Table == uint32(p.cfg.Table)
}

// held reduces an owned route to what the picture keeps.
func (p *picture) held(r rtnl.Route) held {
	h := held{metric: r.Metric, index: r.Index, typ: r.Type, tos: r.TOS, odd: r.Odd}
	switch {
	case !r.Source.IsValid():
	case r.Source == p.cfg.source(r.Prefix):
		h.src = sourceOurs
	default:
		h.src = sourceOther
	}
	return h
}

// loopbackIndex is LOOPBACK_IFINDEX (include/net/flow.h), which the kernel shows in
// IPv6 routes that lead nowhere.
const loopbackIndex = 1

// wanted is what the kernel shows when the route is as it should be. ok is false if
// it cannot be written now, as its interface is down or does not exist.
func (p *picture) wanted(w Route) (h held, ok bool) {
	if w.Interface == "" {
		h = held{metric: UnreachableMetric, typ: unix.RTN_UNREACHABLE}
		if w.Prefix.Addr().Is6() {
			h.index = loopbackIndex
		}
		return h, true
	}
	index, ok := p.link(w.Interface)
	h = held{metric: uint32(p.cfg.Metric), index: index, typ: unix.RTN_UNICAST}
	if h.metric == 0 && w.Prefix.Addr().Is6() {
		h.metric = 1024 // IP6_RT_PRIO_USER
	}
	if p.cfg.source(w.Prefix).IsValid() {
		h.src = sourceOurs
	}
	return h, ok
}

// route is the opposite of held.
func (p *picture) route(prefix netip.Prefix, h held) rtnl.Route {
	r := rtnl.Route{
		Prefix: prefix, Table: uint32(p.cfg.Table), Metric: h.metric, Index: h.index,
		Protocol: uint8(p.cfg.Protocol), Type: h.typ, TOS: h.tos, Odd: h.odd,
	}
	if h.src == sourceOurs {
		r.Source = p.cfg.source(prefix)
	}
	return r
}

// find returns the node of an owned route, or nil.
func (p *picture) find(prefix netip.Prefix, h held) *node {
	for n := p.routes[prefix]; n != nil; n = n.next {
		if n.held == h {
			return n
		}
	}
	return nil
}

// hasMetric reports whether we hold a route that a replacement could hit.
func (p *picture) hasMetric(prefix netip.Prefix, metric uint32) bool {
	for n := p.routes[prefix]; n != nil; n = n.next {
		if n.metric == metric {
			return true
		}
	}
	return false
}

// add notes that the kernel has the route.
func (p *picture) add(prefix netip.Prefix, h held, seen uint32) {
	if n := p.find(prefix, h); n != nil {
		n.seen = seen
		return
	}
	p.routes[prefix] = &node{held: h, seen: seen, next: p.routes[prefix]}
	p.count++
	p.onLink[h.index]++
}

// remove notes that the kernel has the route no more, and reports whether we
// believed it had.
func (p *picture) remove(prefix netip.Prefix, h held) bool {
	return p.removeIf(prefix, func(n *node) bool { return n.held == h })
}

// forgetLink drops the routes of a link, which the kernel has flushed.
func (p *picture) forgetLink(index uint32) {
	if p.onLink[index] == 0 {
		return // as for most of the links that come and go on a busy machine
	}
	for prefix := range p.routes {
		p.removeIf(prefix, func(n *node) bool { return n.index == index })
	}
}

func (p *picture) removeIf(prefix netip.Prefix, gone func(*node) bool) (any bool) {
	first := p.routes[prefix]
	for at := &first; *at != nil; {
		if !gone(*at) {
			at = &(*at).next
			continue
		}
		if p.onLink[(*at).index]--; p.onLink[(*at).index] == 0 {
			delete(p.onLink, (*at).index)
		}
		*at = (*at).next
		p.count--
		any = true
	}
	switch {
	case first == nil:
		delete(p.routes, prefix)
	case any:
		p.routes[prefix] = first
	}
	return any
}

// setLink notes a link, and returns what was known of it before.
func (p *picture) setLink(l rtnl.Link) (before rtnl.Link) {
	before = p.links[l.Index]
	if before.Name != l.Name && p.index[before.Name] == l.Index {
		delete(p.index, before.Name)
	}
	p.links[l.Index] = l
	p.index[l.Name] = l.Index
	return before
}

func (p *picture) removeLink(index uint32) {
	if name := p.links[index].Name; p.index[name] == index {
		delete(p.index, name)
	}
	delete(p.links, index)
}

// link returns the link a route can be written to now.
func (p *picture) link(name string) (index uint32, ok bool) {
	l, ok := p.links[p.index[name]]
	return l.Index, ok && l.Up
}
