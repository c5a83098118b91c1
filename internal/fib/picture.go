package fib

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

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
	metric  uint32
	index   uint32 // of the interface
	nexthop uint32 // number of the next-hop object
	src     source
	typ     uint8
	tos     uint8
	odd     bool
}

// node is one of the owned routes of a prefix.
type node struct {
	held
	seen uint8 // the last look at the kernel that found it
}

// entry is all that is known of a prefix: what is wanted of it, and which owned routes
// it has. There is seldom more than one route: an unreachable one beneath, one that a
// killed daemon left, or one of someone else with our protocol number.
type entry struct {
	key   key
	state state  // of the way
	below bool   // an unreachable route is wanted
	dirty bool   // it is in FIB.dirty
	want  uint32 // number of the set of ways that is wanted; 0: none
	first node   // one of its owned routes; typ is 0 if there is none
	more  bool   // it has others, which are in picture.more
}

// state is what has become of a wanted way.
type state uint8

const (
	stateNone state = iota // none is wanted
	stateInstalled
	statePending
	stateFailed
)

// picture is what we believe is in the kernel, and what is wanted there. Guarded by FIB.mu.
type picture struct {
	cfg     *Config
	stale   bool // it may be wrong: look before use
	epoch   uint8
	entries table
	more    map[key][]node          // owned routes of entries that have several, but for the first
	counts  [2][stateFailed + 1]int // entries by family and state
	count   int                     // owned routes
	onLink  map[uint32]int          // owned routes by interface
	onHop   map[uint32]int          // owned routes by next-hop object
	links   map[uint32]rtnl.Link
	index   map[string]uint32 // of each link, by name
}

func newPicture(cfg *Config) picture {
	return picture{
		cfg: cfg, stale: true, entries: newTable(), more: map[key][]node{},
		onLink: map[uint32]int{}, onHop: map[uint32]int{},
		links: map[uint32]rtnl.Link{}, index: map[string]uint32{},
	}
}

var families = [2]uint8{unix.AF_INET, unix.AF_INET6}

// owned reports whether r is one of ours.
func (p *picture) owned(r rtnl.Route) bool {
	return r.Protocol == uint8(p.cfg.Protocol) && r.Table == uint32(p.cfg.Table)
}

// held reduces an owned route to what the picture keeps.
func (p *picture) held(r rtnl.Route) held {
	h := held{metric: r.Metric, index: r.Index, nexthop: r.NextHop, typ: r.Type, tos: r.TOS, odd: r.Odd}
	switch {
	case !r.Source.IsValid():
	case r.Source == p.cfg.source(r.Prefix):
		h.src = sourceOurs
	default:
		h.src = sourceOther
	}
	return h
}

// route is the opposite of held.
func (p *picture) route(prefix netip.Prefix, h held) rtnl.Route {
	r := rtnl.Route{
		Prefix: prefix, Table: uint32(p.cfg.Table), Metric: h.metric, Index: h.index, NextHop: h.nexthop,
		Protocol: uint8(p.cfg.Protocol), Type: h.typ, TOS: h.tos, Odd: h.odd,
	}
	if h.src == sourceOurs {
		r.Source = p.cfg.source(prefix)
	}
	return r
}

// loopbackIndex is LOOPBACK_IFINDEX (include/net/flow.h), which the kernel shows in
// IPv6 routes that lead nowhere.
const loopbackIndex = 1

// below is the unreachable route of a prefix, as the kernel shows it.
func below(prefix netip.Prefix) held {
	h := held{metric: UnreachableMetric, typ: unix.RTN_UNREACHABLE}
	if prefix.Addr().Is6() {
		h.index = loopbackIndex
	}
	return h
}

// way is a route that leads somewhere, as the kernel shows it; the caller says where.
func (p *picture) way(prefix netip.Prefix) held {
	h := held{metric: uint32(p.cfg.Metric), typ: unix.RTN_UNICAST}
	if h.metric == 0 && prefix.Addr().Is6() {
		h.metric = 1024 // IP6_RT_PRIO_USER
	}
	if p.cfg.source(prefix).IsValid() {
		h.src = sourceOurs
	}
	return h
}

// entry returns the entry of a prefix, which it makes if need be.
func (p *picture) entry(prefix netip.Prefix) *entry { return p.entries.make(keyFor(prefix)) }

// known returns the entry of a prefix, nil if there is none.
func (p *picture) known(prefix netip.Prefix) *entry { return p.entries.get(keyFor(prefix)) }

// tidy forgets an entry that says nothing.
func (p *picture) tidy(e *entry) {
	if e.isGone() && e.first.typ == 0 && !e.dirty {
		p.entries.remove(e)
	}
}

// shrink gives back the memory of entries if most are gone, and reports whether they were.
// No entry may be in use.
func (p *picture) shrink() (did bool) {
	if did = p.entries.isSparse(); did {
		p.entries.compact()
		p.more = maps.Clone(p.more) // as large as it has to be
	}
	return did
}

// setState counts what has become of an entry's way.
func (p *picture) setState(e *entry, s state) {
	f := e.key.family()
	p.counts[f][e.state]--
	p.counts[f][s]++
	e.state = s
}

// isGone reports whether nothing is wanted of a prefix.
func (e *entry) isGone() bool { return e.want == 0 && !e.below }

// routes yields the owned routes of an entry.
func (p *picture) routes(e *entry) iter.Seq[held] {
	return func(yield func(held) bool) {
		if e.first.typ == 0 || !yield(e.first.held) || !e.more {
			return
		}
		for _, n := range p.more[e.key] {
			if !yield(n.held) {
				return
			}
		}
	}
}

// has reports whether an entry has an owned route.
func (p *picture) has(e *entry, h held) bool { return p.find(e, h) != nil }

func (p *picture) find(e *entry, h held) *node {
	if e.first.held == h {
		return &e.first
	}
	if e.more {
		all := p.more[e.key]
		if i := slices.IndexFunc(all, func(n node) bool { return n.held == h }); i >= 0 {
			return &all[i]
		}
	}
	return nil
}

// edit changes the owned routes of an entry, but not where they lead.
func (p *picture) edit(e *entry, change func(*node)) {
	if e.first.typ != 0 {
		change(&e.first)
	}
	if e.more {
		for i, all := 0, p.more[e.key]; i < len(all); i++ {
			change(&all[i])
		}
	}
}

// hasMetric reports whether we hold a route that a replacement could hit.
func (p *picture) hasMetric(prefix netip.Prefix, metric uint32) bool {
	if e := p.known(prefix); e != nil {
		for h := range p.routes(e) {
			if h.metric == metric {
				return true
			}
		}
	}
	return false
}

// add notes that the kernel has the route, and reports whether that is news.
func (p *picture) add(prefix netip.Prefix, h held) (news bool) {
	return p.addTo(p.entry(prefix), h)
}

func (p *picture) addTo(e *entry, h held) (news bool) {
	if n := p.find(e, h); n != nil {
		n.seen = p.epoch
		return false
	}
	if n := (node{held: h, seen: p.epoch}); e.first.typ == 0 {
		e.first = n
	} else {
		p.more[e.key] = append(p.more[e.key], n)
		e.more = true
	}
	p.count++
	p.onLink[h.index]++
	p.onHop[h.nexthop]++
	return true
}

// remove notes that the kernel has the route no more, and reports whether we
// believed it had.
func (p *picture) remove(prefix netip.Prefix, h held) bool {
	e := p.known(prefix)
	return e != nil && p.removeFrom(e, h)
}

func (p *picture) removeFrom(e *entry, h held) bool {
	return p.removeIf(e, func(n node) bool { return n.held == h })
}

func (p *picture) removeIf(e *entry, gone func(node) bool) (any bool) {
	remove := func(n node) bool {
		if !gone(n) {
			return false
		}
		drop(p.onLink, n.index)
		drop(p.onHop, n.nexthop)
		p.count--
		any = true
		return true
	}
	if e.first.typ != 0 && remove(e.first) {
		e.first = node{}
	}
	if e.more {
		p.setMore(e, slices.DeleteFunc(p.more[e.key], remove))
	}
	return any
}

// setMore notes what is left of an entry's other routes, of which one becomes the first if
// that is gone.
func (p *picture) setMore(e *entry, left []node) {
	if n := len(left) - 1; e.first.typ == 0 && n >= 0 {
		e.first, left = left[n], left[:n]
	}
	if e.more = len(left) > 0; e.more {
		p.more[e.key] = left
	} else {
		delete(p.more, e.key)
	}
}

func drop(counts map[uint32]int, key uint32) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
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
func (p *picture) link(name string) (l rtnl.Link, ok bool) {
	l, ok = p.links[p.index[name]]
	return l, ok && l.Up
}
