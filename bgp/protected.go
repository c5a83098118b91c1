package bgp

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// Protected is what of this router a neighbor must not take, whatever its
// import policy says in general. It never changes once made and may be used by
// any goroutine; nil protects nothing.
//
// Own are the router's networks and the prefixes connected to it. Such a prefix
// itself is never imported. What lies inside it is imported only where a filter
// lies inside it too (Policy.Accepts). That part does not hold for own prefixes
// that are shorter than `any` takes: a router that announces a default route, or
// 2000::/3, offers a way there, and does not say that all of it is at home.
//
// Reserved are addresses in use on tunnels and of gateways. They are never
// imported, nor is what lies inside them, nor a prefix inside an own one that
// would take their traffic from it.
type Protected struct {
	own      bart.Lite // all own prefixes
	within   bart.Lite // those of them whose inside is protected
	reserved bart.Lite
}

// NewProtected makes a Protected. Prefixes are masked; invalid and IPv4-mapped
// ones, which no neighbor can announce, are left out.
func NewProtected(own, reserved []netip.Prefix) *Protected {
	p := &Protected{}
	for _, o := range own {
		if !o.IsValid() || o.Addr().Is4In6() {
			continue
		}
		p.own.Insert(o.Masked())
		if o.Bits() >= shortestAny(o) {
			p.within.Insert(o.Masked())
		}
	}
	for _, r := range reserved {
		if r.IsValid() && !r.Addr().Is4In6() {
			p.reserved.Insert(r.Masked())
		}
	}
	return p
}

// Prefixes returns what NewProtected makes the same of, each in order.
func (pr *Protected) Prefixes() (own, reserved []netip.Prefix) {
	return slices.Collect(pr.own.AllSorted()), slices.Collect(pr.reserved.AllSorted())
}

// Concerns reports whether it does not suffice that some word or filter of an
// import policy matches p: it is protected, lies inside something that is, or is
// shorter than `any` takes. It is much cheaper than Policy.Accepts with many
// filters.
func (pr *Protected) Concerns(p netip.Prefix) bool {
	return p.Bits() < shortestAny(p) || pr.look(p) != Reason{}
}

// Equal reports whether both protect the same.
func (pr *Protected) Equal(other *Protected) bool {
	if pr == nil || other == nil {
		return pr == other
	}
	return pr.own.Equal(&other.own) && pr.reserved.Equal(&other.reserved)
}

// Affects returns a function that reports whether p is protected otherwise by
// pr than by old, so that it has to be judged again.
func (pr *Protected) Affects(old *Protected) func(p netip.Prefix) bool {
	return func(p netip.Prefix) bool { return pr.look(p) != old.look(p) }
}

// look says what stands against p: ReasonOwn or ReasonReserved, which are final;
// ReasonInside with the longest own prefix that p lies inside of; or nothing.
func (pr *Protected) look(p netip.Prefix) Reason {
	if pr == nil || !p.IsValid() {
		return Reason{}
	}
	if r, ok := pr.reserved.LookupPrefixLPM(p); ok {
		return Reason{ReasonReserved, r}
	}
	if pr.own.Get(p) {
		return Reason{ReasonOwn, p}
	}
	o, ok := pr.within.LookupPrefixLPM(p)
	if !ok {
		return Reason{}
	}
	if r, ok := pr.takes(p); ok {
		return Reason{ReasonReserved, r}
	}
	return Reason{ReasonInside, o}
}

// takes returns what of the reserved is inside p and has its traffic taken by p,
// because no own prefix between the two is more specific.
func (pr *Protected) takes(p netip.Prefix) (netip.Prefix, bool) {
	for r := range pr.reserved.Subnets(p) {
		if shield, ok := pr.own.LookupPrefixLPM(r); !ok || shield.Bits() <= p.Bits() {
			return r, true
		}
	}
	return netip.Prefix{}, false
}

// shortestAny is the length of the shortest prefixes that `any` imports, of the
// family of p. Half the Internet is not a peer's network: 0.0.0.0/1 and
// 128.0.0.0/1 are a default route under another name.
func shortestAny(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 8
	}
	return 16
}
