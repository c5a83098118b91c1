package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// imported is one filter of a peer's import, with where it is written.
type imported struct {
	peer   *Peer
	filter PrefixFilter
	at     element
}

// warnOverlaps is about networks that two routers seem to have. Left out is what designs
// are made of:
//
//   - any and default say nothing of where a network is;
//   - the same prefix of two peers is two ways to it;
//   - a filter around networks of this router's own, such as 10.0.0.0/8 le 24, is the plan
//     of the whole network, and other filters are in it;
//   - networks of this router around its LAN are the aggregate that a hub announces.
func (l *loader) warnOverlaps(c *Config, hosts []HostInterface) {
	var all []imported
	for i := range c.Peers {
		all = append(all, c.Peers[i].imported()...)
	}
	lans := subnets(hosts)
	// Accepted peers share their filters, so that these are compared with the router's own networks alone.
	for _, in := range slices.Concat(all, c.Accept.sample.imported()) {
		l.peer = in.peer
		if err := in.overlapsOwn(c.Announce.Networks, lans); err != nil {
			l.failElement(in.peer.raw.BGP.Import.place, in.at, err)
		}
	}
	for _, in := range all {
		l.peer = in.peer
		if !in.isPlan(c.Announce.Networks, lans) {
			l.warnInside(in, all)
		}
	}
}

// imported lists the filters of the peer's import that say where a network is.
func (p *Peer) imported() (all []imported) {
	if p.raw == nil { // there is no [accept]
		return nil
	}
	for _, e := range p.raw.BGP.Import.v {
		if f, err := parseFilter(e.text); err == nil && f.Prefix.Bits() > 0 {
			all = append(all, imported{p, f, e})
		}
	}
	return all
}

// subnet is one that this host is in.
type subnet struct {
	netip.Prefix
	ifname string
}

func subnets(hosts []HostInterface) (all []subnet) {
	for _, i := range hosts {
		if i.Loopback {
			continue
		}
		for _, a := range i.Addresses {
			if !a.Addr().IsLinkLocalUnicast() && !a.IsSingleIP() {
				all = append(all, subnet{a.Masked(), i.Name})
			}
		}
	}
	return all
}

func (in imported) overlapsOwn(networks []netip.Prefix, lans []subnet) error {
	for _, n := range networks {
		if n == in.filter.Prefix {
			return errors.New("is one of this router's own announce.networks, and never imported: two routers cannot have the same network; correct one of the two")
		}
	}
	for _, lan := range lans {
		if lan.Prefix == in.filter.Prefix {
			return fmt.Errorf("is the network of this host's interface %s, and never imported: two routers cannot have the same network; correct one of the two", lan.ifname)
		}
		if covers(lan.Prefix, in.filter.Prefix) {
			return fmt.Errorf("lies inside %v, the network of this host's interface %s: packets to it go to the peer and not to that network", lan.Prefix, lan.ifname)
		}
	}
	for _, n := range networks {
		if n.Bits() > 0 && covers(n, in.filter.Prefix) && !holdsLAN(n, lans) {
			return fmt.Errorf("lies inside %v, one of this router's own announce.networks: two routers have this part of it", n)
		}
	}
	return nil
}

// holdsLAN reports whether a subnet of this host is a part of n, and not all of it.
func holdsLAN(n netip.Prefix, lans []subnet) bool {
	for _, lan := range lans {
		if n != lan.Prefix && covers(n, lan.Prefix) {
			return true
		}
	}
	return false
}

// isPlan reports whether the filter holds networks of this router too.
func (in imported) isPlan(networks []netip.Prefix, lans []subnet) bool {
	for _, n := range networks {
		if n.Bits() > 0 && covers(in.filter.Prefix, n) {
			return true
		}
	}
	return holdsLAN(in.filter.Prefix, lans)
}

// warnInside notes which filters of other peers lie inside one: the first of them, and how
// many there are.
func (l *loader) warnInside(wide imported, all []imported) {
	var first imported
	count := 0
	for _, in := range all {
		if in.peer.Name == wide.peer.Name || in.filter.Prefix == wide.filter.Prefix ||
			!covers(wide.filter.Prefix, in.filter.Prefix) || wide.peer.imports(in.filter.Prefix) {
			continue
		}
		if count++; count == 1 {
			first = in
		}
	}
	if count == 0 {
		return
	}
	text := fmt.Sprintf("overlaps with %q of %s", first.at.text, first.peer.where())
	if count > 1 {
		text += fmt.Sprintf(" and %d more", count-1)
	}
	l.failElement(wide.peer.raw.BGP.Import.place, wide.at,
		errors.New(text+": two peers seem to have the same network, and what the longer prefix holds goes to one of them; correct it if it is not meant"))
}

// imports reports whether a filter of the peer is about this very prefix.
func (p *Peer) imports(prefix netip.Prefix) bool {
	for _, f := range p.BGP.Import.Prefixes {
		if f.Prefix == prefix {
			return true
		}
	}
	return false
}

// covers reports whether inner is a part of outer, or the same.
func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}
