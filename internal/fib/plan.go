package fib

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// op is one message to the kernel.
type op struct {
	add    bool
	passes bool // it stands in for another one within this plan
	flags  uint16
	prefix netip.Prefix
	held   held
	name   string // of the interface, for error messages
}

// plan is what one Sync has to do, and what it found done.
type plan struct {
	number uint32
	adds   []op // with the removals that make room for them or follow them
	dels   []op
	result Result
	failed failures
	names  map[string]struct{}
}

var (
	errPrefix    = errors.New("not a valid masked IPv4 or IPv6 prefix")
	errDuplicate = errors.New("wanted more than once")
)

// planLocked compares want with the picture. It changes nothing in it but the
// marks of what it has seen.
func (f *FIB) planLocked(want []Route) *plan {
	f.plans++
	p := &plan{number: f.plans, names: make(map[string]struct{})}
	kept := 0
	for _, w := range want {
		if w.Prefix != w.Prefix.Masked() || !w.Prefix.IsValid() || w.Prefix.Addr().Is4In6() {
			p.failed.add("add", w.Prefix, w.Interface, errPrefix)
			continue
		}
		p.names[w.Interface] = struct{}{}
		h, up := f.pic.wanted(w)
		if !up {
			p.result.Pending++
			continue
		}
		switch n := f.pic.find(w.Prefix, h); {
		case n == nil:
			p.change(w, h, f.pic.routes[w.Prefix])
		case n.seen == p.number:
			p.failed.add("add", w.Prefix, w.Interface, errDuplicate)
		default:
			n.seen = p.number
			kept++
			p.installed(w.Prefix, h)
		}
	}
	if kept < f.pic.count {
		p.removeUnseen(&f.pic)
	}
	return p
}

// change plans a route that the kernel lacks, together with the removal of the
// owned routes of its kind that have its prefix now; doc.go has the reasons for the
// order.
func (p *plan) change(w Route, h held, old *node) {
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	var after []op
	standIn := op{passes: true, prefix: w.Prefix, held: h, name: w.Interface}
	standIn.held.metric++
	for n := old; n != nil; n = n.next {
		if n.seen == p.number || n.typ != h.typ && n.metric != h.metric {
			continue // what is not wanted of the other kind goes last
		}
		n.seen = p.number
		del := op{prefix: w.Prefix, held: n.held, name: w.Interface}
		sameKey := n.metric == h.metric && n.tos == h.tos
		switch {
		case n.odd:
			p.adds = append(p.adds, del)
		case sameKey && n.index == h.index && w.Prefix.Addr().Is6():
			add := standIn
			add.add, add.flags = true, flags
			p.adds = append(p.adds, add, del)
			after = append(after, standIn)
		case sameKey:
			flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
			fallthrough
		default:
			after = append(after, del)
		}
	}
	p.adds = append(p.adds, op{add: true, flags: flags, prefix: w.Prefix, held: h, name: w.Interface})
	p.adds = append(p.adds, after...)
}

// removeUnseen plans the removal of what no one wants.
func (p *plan) removeUnseen(pic *picture) {
	for prefix, first := range pic.routes {
		for n := first; n != nil; n = n.next {
			if n.seen != p.number {
				p.dels = append(p.dels, op{prefix: prefix, held: n.held, name: pic.links[n.index].Name})
			}
		}
	}
}

func (p *plan) installed(prefix netip.Prefix, h held) {
	switch {
	case h.typ == unix.RTN_UNREACHABLE:
	case prefix.Addr().Is4():
		p.result.Installed4++
	default:
		p.result.Installed6++
	}
}
