package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"warren/internal/config"
	"warren/internal/fib"
	"warren/martian"
)

// This file is about addresses that one end of a tunnel assigns to the other. At the end that
// assigns, the hub, they belong to this router's own prefixes while the tunnel is up, and the
// kernel routes them into it. At the other end, the spoke, they are on the tunnel's interface.

// assigned are the addresses that peers with a tunnel that is up were assigned, each with the
// neighbors behind those tunnels.
func (m *machine) assigned() map[netip.Prefix][]string {
	all := map[netip.Prefix][]string{}
	m.all(func(a *attachment) {
		if a.up() && a.session.ready {
			for _, p := range a.cfg.Assign {
				all[p] = append(all[p], a.name)
			}
		}
	})
	return all
}

// followAssigned brings the own prefixes and the kernel's routes in line with the tunnels that
// are up.
func (l *loop) followAssigned() {
	next := l.m.assigned()
	if l.state.noIPv6 {
		for p := range next {
			if isIPv6(p) {
				delete(next, p)
			}
		}
	}
	if !l.state.setAssigned(next) {
		return
	}
	l.setOwn()
	l.protect()
	l.applyRoutes()
}

// setOwn sets what is announced of this router's.
func (l *loop) setOwn() { l.own = announced(l.home, sortedPrefixes(l.state.assigned)) }

func sortedPrefixes[V any](m map[netip.Prefix]V) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(m))
	for p := range m {
		all = append(all, p)
	}
	slices.SortFunc(all, comparePrefix)
	return all
}

// setAssigned changes which addresses lead into which tunnels, and reports whether it did.
func (s *state) setAssigned(next map[netip.Prefix][]string) (changed bool) {
	for p, names := range next {
		if !slices.Equal(names, s.assigned[p]) {
			s.touched.add(p)
			changed = true
		}
	}
	for p := range s.assigned {
		if _, still := next[p]; !still {
			s.touched.add(p)
			changed = true
		}
	}
	s.assigned = next
	return changed
}

// assignedWays are those to an address that a peer was assigned: its tunnels that assign it, by
// preference and weight.
func (s *state) assignedWays(prefix netip.Prefix) (ways []fib.Way) {
	names := slices.DeleteFunc(slices.Clone(s.assigned[prefix]), func(name string) bool {
		_, ok := s.attached[name]
		return !ok
	})
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(s.attached[b].preference, s.attached[a].preference) })
	for _, name := range names {
		a := s.attached[name]
		ways = append(ways, fib.Way{Interface: a.ifname, Neighbor: name, Weight: a.weight, Reserve: a.preference < s.attached[names[0]].preference})
	}
	return ways
}

// The addresses that a peer assigns to this router.

// errNoneAssigned is what is wrong if the config wants addresses and the peer has none.
var errNoneAssigned = errors.New(`the peer assigns none: set assign in its file of this router, or leave address = "assigned" out here`)

// giveAddresses begins to give a session's interface its addresses. Those that the peer assigns
// are judged first.
func (a *attachment) giveAddresses() effect {
	if a.cfg.Assigned && a.session.told {
		return judgeAssigned{a.id, a.session.number, a.session.offered}
	}
	return a.setAddresses(false)
}

// offered takes what the peer has said of a session that is up already.
func (m *machine) offered(a *attachment, ev offered) []effect {
	if !a.cfg.Assigned || a.session.told && slices.Equal(a.session.offered, ev.addresses) {
		return nil
	}
	a.session.offered, a.session.told = ev.addresses, true
	return []effect{a.giveAddresses()}
}

// judged takes which of the offered addresses this router takes.
func (m *machine) judged(now time.Time, a *attachment, ev judged) []effect {
	s := a.session
	out := m.conditions.note(now, about(kindAssigned, a), ev.err)
	if s.ready && slices.Equal(ev.accepted, s.assigned) {
		return out
	}
	s.assigned, a.assigned = ev.accepted, ev.accepted
	m.cameUp = true // they are protected too
	return append(out, a.setAddresses(false))
}

// judgeAssigned decides which of the addresses that a peer offers this router takes. What is
// wrong with the others is said all at once.
func (l *loop) judgeAssigned(e judgeAssigned) []event {
	a := l.m.tunnels[e.id]
	if a == nil {
		return nil
	}
	var accepted []netip.Addr
	var errs []error
	for _, addr := range e.offered {
		if slices.Contains(accepted, addr) {
			continue
		}
		if err := l.checkAssigned(a, addr); err != nil {
			errs = append(errs, fmt.Errorf("%v, which the peer assigns, %w", addr, err))
			continue
		}
		accepted = append(accepted, addr)
	}
	if len(e.offered) == 0 {
		errs = append(errs, errNoneAssigned)
	}
	return []event{judged{e.id, e.number, accepted, errors.Join(errs...)}}
}

// checkAssigned reports why this router does not take an address. Whoever has one here gets
// none of its packets by this router any more, so that a peer may name neither one that is in use
// around here nor one of the Internet that it could not attract by import.
func (l *loop) checkAssigned(a *attachment, addr netip.Addr) error {
	host := netip.PrefixFrom(addr, addr.BitLen())
	covers := func(p netip.Prefix) bool { return p.Contains(addr) }
	if m, ok := martian.Covering(host); ok {
		return fmt.Errorf("is inside %v, which no router can have", m)
	}
	if i := slices.IndexFunc(l.home, func(p netip.Prefix) bool { return atHome(p) && covers(p) }); i >= 0 {
		return fmt.Errorf("is inside %v, which this router announces itself", l.home[i])
	}
	for _, p := range l.locals.Connected() {
		if covers(p) && (p != host || !l.m.hasAssigned(addr)) {
			return fmt.Errorf("is inside %v, which is connected to this router", p)
		}
	}
	if used := l.usedBy(addr); used != "" {
		return fmt.Errorf("is the address of %s", used)
	}
	if !isPrivate(addr) && !takes(a.peer.bgp.Import, addr) {
		return errors.New("is an address of the Internet that is inside nothing in import: if it is this router's, add it there")
	}
	return nil
}

// usedBy says what has an address that packets of this router itself go to; "": nothing known.
func (l *loop) usedBy(addr netip.Addr) (what string) {
	if slices.Contains(l.locals.Gateways(), addr) {
		return "a gateway"
	}
	l.m.all(func(a *attachment) {
		remote := func(r config.Remote) bool { return r.Host == addr.String() }
		h, open := l.handles.tunnels[a.id]
		switch {
		case a.isLAN():
			if a.lan.Address == addr {
				what = "peer " + a.peer.name
			}
		case slices.Contains(a.ends, addr), a.cfg.PeerAddress == addr, slices.ContainsFunc(a.cfg.Address, func(p netip.Prefix) bool { return p.Contains(addr) }):
			what = "the tunnel to peer " + a.peer.name
		case slices.ContainsFunc(a.cfg.Remotes, remote), open && h.Status().Remote.Addr().Unmap() == addr:
			what = "peer " + a.peer.name + " on the underlay"
		case slices.ContainsFunc(a.cfg.Assign, func(p netip.Prefix) bool { return p.Addr() == addr }):
			what = "peer " + a.peer.name + ", to which this router assigns it"
		}
	})
	return what
}

// hasAssigned reports whether a tunnel has an address because its peer assigned it.
func (m *machine) hasAssigned(addr netip.Addr) (has bool) {
	m.all(func(a *attachment) { has = has || slices.Contains(a.assigned, addr) })
	return has
}

// private are the prefixes that nobody has on the Internet: private use (RFC 1918), shared
// (RFC 6598), benchmarking (RFC 2544), documentation (RFC 5737, RFC 3849) and unique local
// addresses (RFC 4193).
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("fc00::/7"),
}

func isPrivate(addr netip.Addr) bool {
	return slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// takes reports whether a peer may announce something that an address is inside of.
func takes(p config.Policy, addr netip.Addr) bool {
	return p.Any || p.Default || slices.ContainsFunc(p.Prefixes, func(f config.PrefixFilter) bool { return f.Prefix.Contains(addr) })
}

// assignedSources completes the sources of this router's packets with addresses that it was
// assigned and has: a host without networks of its own is known by them.
func (l *loop) assignedSources(chosen *sources) {
	hosts := l.locals.Hosts()
	l.m.all(func(a *attachment) {
		for _, addr := range a.assigned {
			there := false
			for _, h := range hosts {
				there = there || h.Addr == addr && h.Interface == a.cfg.Interface
			}
			switch {
			case !there:
			case addr.Is4() && !chosen.v4.IsValid():
				chosen.v4 = addr
			case addr.Is6() && !chosen.v6.IsValid():
				chosen.v6 = addr
			}
		}
	})
}
