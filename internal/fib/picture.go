package fib

import (
	"maps"
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
	index  uint32 // of the interface
	via    uint32 // number of the next-hop object, or of the gateway if the shape is shapeGateway; 0: none
	src    source
	typ    uint8
	tos    uint8
	shape  shape
}

// shape tells what leads out.
type shape uint8

const (
	shapePlain   shape = iota // the interface or the object
	shapeGateway              // a gateway on the interface
	shapeOdd                  // what held cannot say
)

// object is the number of the next-hop object, 0 for none.
func (h held) object() uint32 {
	if h.shape == shapeGateway {
		return 0
	}
	return h.via
}

// gateway is the number of the gateway, 0 for none.
func (h held) gateway() uint32 {
	if h.shape == shapeGateway {
		return h.via
	}
	return 0
}

// goesVia has a route use the gateway with a number, 0 for none.
func (h *held) goesVia(gateway uint32) {
	if gateway != 0 {
		h.via, h.shape = gateway, shapeGateway
	}
}

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
	via     *gateways
	links   map[uint32]rtnl.Link
	index   map[string]uint32 // of each link, by name
}

func newPicture(cfg *Config) picture {
	return picture{
		cfg: cfg, stale: true, entries: newTable(), more: map[key][]node{},
		onLink: map[uint32]int{}, onHop: map[uint32]int{}, via: newGateways(),
		links: map[uint32]rtnl.Link{}, index: map[string]uint32{},
	}
}

var families = [2]uint8{unix.AF_INET, unix.AF_INET6}

// owned reports whether r is one of ours.
func (p *picture) owned(r rtnl.Route) bool {
	return r.Protocol == uint8(p.cfg.Protocol) && r.Table == uint32(p.cfg.Table)
}

// held reduces an owned route to what the picture keeps. Unless that is added, the caller has
// to use and release its gateway.
func (p *picture) held(r rtnl.Route) held {
	h := held{metric: r.Metric, index: r.Index, via: r.NextHop, typ: r.Type, tos: r.TOS}
	if r.Odd {
		h.shape = shapeOdd
	} else if r.NextHop == 0 {
		h.goesVia(p.via.number(r.Gateway))
	}
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
		Prefix: prefix, Table: uint32(p.cfg.Table), Metric: h.metric, Index: h.index, NextHop: h.object(), Gateway: p.via.addr(h.gateway()),
		Protocol: uint8(p.cfg.Protocol), Type: h.typ, TOS: h.tos, Odd: h.shape == shapeOdd,
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
	p.onHop[h.object()]++
	p.via.use(h.gateway())
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
