package fib

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// op is one message about a route.
type op struct {
	job    int // the prefix that it is for, in the batch
	add    bool
	passes bool // it stands in for another one within this plan
	flags  uint16
	held   held
}

// job is a prefix whose routes are compared with what is wanted.
type job struct {
	prefix  netip.Prefix
	entry   *entry
	way     held // the wanted way; typ is 0 if there is none now
	pending bool // there is none now, as an interface is down, or a source is not there
	failed  error
	before  bool // it had failed before
	exists  bool // the kernel has a route in the place of one that is wanted
}

// planLocked appends the messages that make the routes of a prefix what they should be.
func (f *FIB) planLocked(ops []op, at int, j *job) []op {
	var wants [2]held
	n := 0
	if j.entry.want != 0 {
		if way, ok := f.wayLocked(j); ok {
			j.way, wants[n] = way, way
			n++
		}
	}
	if j.entry.below {
		wants[n] = below(j.prefix)
		n++
	}
	var leaving []held // of which the removal is planned
	for _, h := range wants[:n] {
		if !f.pic.has(j.entry, h) {
			ops, leaving = f.changeLocked(ops, at, j, h, wants[:n], leaving)
		}
	}
	for h := range f.pic.routes(j.entry) {
		if !slices.Contains(wants[:n], h) && !slices.Contains(leaving, h) {
			ops = append(ops, op{job: at, held: h})
		}
	}
	return ops
}

// wayLocked returns the route that leads where the prefix is wanted to, if one can be
// written now.
func (f *FIB) wayLocked(j *job) (h held, ok bool) {
	of, fam := f.sets.list[j.entry.want], j.entry.key.family()
	h = f.pic.way(j.prefix)
	switch {
	case of.hasSeveral() && !f.noObjects:
		h.via = of.group[fam]
		ok = h.via != 0
		j.failed = of.failed[fam]
	default:
		var gateway netip.Addr
		h.index, gateway, ok = f.firstLocked(of)
		h.goesVia(f.pic.via.number(gateway)) // which the set uses
	}
	j.pending = !ok && j.failed == nil
	return h, ok
}

// firstLocked returns the interface and the gateway of the first way that can be used: one
// with a carrier before others, and of these one whose neighbor is not late.
func (f *FIB) firstLocked(of *set) (index uint32, gateway netip.Addr, ok bool) {
	const worst = 4
	best := worst
	for _, w := range of.ways {
		l, up := f.pic.link(w.Interface)
		if !up || f.sets.hops[w.Interface].Down {
			continue
		}
		rank := 0
		if !l.Carrier {
			rank += 2
		}
		if f.sets.late[w.Neighbor] {
			rank++
		}
		if rank < best {
			best, index, gateway = rank, l.Index, w.Gateway
		}
	}
	return index, gateway, best < worst
}

// changeLocked plans a route that the kernel lacks, together with the removal of the
// owned routes of its kind that its prefix has now; doc.go has the reasons for the
// order.
func (f *FIB) changeLocked(ops []op, at int, j *job, h held, wants, leaving []held) ([]op, []held) {
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	var after []op
	standIn := op{job: at, passes: true, held: h}
	standIn.held.metric++
	for old := range f.pic.routes(j.entry) {
		if slices.Contains(wants, old) || slices.Contains(leaving, old) || old.typ != h.typ && old.metric != h.metric {
			continue // what is not wanted of the other kind goes last
		}
		leaving = append(leaving, old)
		del := op{job: at, held: old}
		sameKey := old.metric == h.metric && old.tos == h.tos
		switch {
		case old.shape == shapeOdd:
			ops = append(ops, del)
		case sameKey && j.prefix.Addr().Is6() && cannotStandBeside(old, h):
			add := standIn
			add.add, add.flags = true, flags
			ops = append(ops, add, del)
			after = append(after, standIn)
		case sameKey:
			flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
			fallthrough
		default:
			after = append(after, del)
		}
	}
	ops = append(ops, op{job: at, add: true, flags: flags, held: h})
	return append(ops, after...), leaving
}

// cannotStandBeside reports whether the kernel takes two IPv6 routes with one metric for
// duplicates, or for the two ways of one route, as it does with all that have gateways
// (net/ipv6/ip6_fib.c, fib6_add_rt2node; include/net/ip6_route.h, rt6_qualify_for_ecmp).
func cannotStandBeside(old, h held) bool {
	return old.shape == h.shape && (h.shape == shapeGateway || old.index == h.index && old.via == h.via)
}
