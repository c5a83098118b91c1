package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/link"
)

// A peer without a tunnel is on a network of this host's. Its attachment has no interface of its
// own and nothing to open: it is up while this host has an address in the network, which the
// loop looks for whenever interfaces or addresses change.

// place is where this router is on a peer's network.
type place struct {
	ifname  string         // the interface
	local   netip.Addr     // its address in the network, without a zone
	network []netip.Prefix // all addresses of the interface, with the lengths of their subnets
}

// locate finds the place from which a peer is reached without another router: an address of an
// interface that is up and has a carrier, in the longest prefix that the peer is in. Of several
// it is the one that there was before. Tunnels are none.
func locate(lan config.LAN, before place, hosts []link.Host, seen map[string]link.Interface, isTunnel func(string) bool) (place, error) {
	var best link.Host
	better := func(h link.Host) bool {
		switch {
		case !best.Addr.IsValid():
			return true
		case h.Subnet.Bits() != best.Subnet.Bits():
			return h.Subnet.Bits() > best.Subnet.Bits()
		}
		return h.Interface == before.ifname && h.Addr == before.local
	}
	var idle string // an interface that would be the one, but for its carrier
	for _, h := range hosts {
		switch {
		case lan.Interface != "" && h.Interface != lan.Interface || isTunnel(h.Interface):
		case !h.Subnet.Contains(h.Addr) || !h.Subnet.Contains(lan.Address): // of a point-to-point interface
		case h.Addr == lan.Address:
			return place{}, fmt.Errorf("%v is this host's own address, on interface %s; set [bgp] address to the peer's", h.Addr, h.Interface)
		case !seen[h.Interface].Carrier:
			idle = h.Interface
		case better(h):
			best = h
		}
	}
	if !best.Addr.IsValid() {
		return place{}, nowhereNear(lan, idle, seen)
	}
	at := place{ifname: best.Interface, local: best.Addr}
	for _, h := range hosts {
		if h.Interface == at.ifname && h.Subnet.Contains(h.Addr) {
			at.network = append(at.network, netip.PrefixFrom(h.Addr, h.Subnet.Bits()))
		}
	}
	if n := (bgp.Neighbor{LocalAddr: at.local, Network: at.network}); !n.OnLink(lan.Address) {
		return place{}, fmt.Errorf("%v is no host's address in the network of interface %s; set [bgp] address to the peer's", lan.Address, at.ifname)
	}
	return at, nil
}

// nowhereNear says why there is no place.
func nowhereNear(lan config.LAN, idle string, seen map[string]link.Interface) error {
	i, there := seen[lan.Interface]
	switch {
	case idle != "":
		return fmt.Errorf("interface %s has no carrier", idle)
	case lan.Interface == "":
		return fmt.Errorf("no interface that is up has an address in a network with %v", lan.Address)
	case !there:
		return fmt.Errorf("there is no interface %s", lan.Interface)
	case !i.Up:
		return fmt.Errorf("interface %s is down", lan.Interface)
	}
	return fmt.Errorf("interface %s has no address in a network with %v", lan.Interface, lan.Address)
}

// keeps reports whether a session from p can go on where the place is next: it has all addresses
// that the session knows of. Those that are added count from the next session on, unless the
// interface had none of their family before, which a next hop may need.
func (p place) keeps(next place) bool {
	if p.ifname != next.ifname || p.local != next.local {
		return false
	}
	for _, four := range [...]bool{false, true} {
		family := func(n netip.Prefix) bool { return n.Addr().Is4() == four }
		if slices.ContainsFunc(next.network, family) && !slices.ContainsFunc(p.network, family) {
			return false
		}
	}
	return !slices.ContainsFunc(p.network, func(n netip.Prefix) bool { return !slices.Contains(next.network, n) })
}

// locate has the machine know where this router is on the peers' networks.
func (l *loop) locate() {
	var events []event
	hosts := l.locals.Hosts()
	seen, _ := l.locals.Interfaces()
	before := map[*attachment]string{}
	l.m.all(func(a *attachment) {
		if !a.isLAN() {
			return
		}
		before[a] = a.ifname()
		var was place
		if a.up() {
			was = a.session.at
		}
		at, err := locate(a.lan, was, hosts, seen, l.isTunnel)
		events = append(events, located{a.name, at, err})
	})
	if events == nil {
		return
	}
	l.play(events...)
	for a, ifname := range before {
		if a.ifname() != ifname {
			l.setAttached()
			return
		}
	}
}

// located begins and ends what is on a peer's network.
func (m *machine) located(now time.Time, ev located) (out []effect) {
	p := m.peers[ev.name]
	if p == nil || !p.attachments[0].isLAN() || m.orders.Down[ev.name] != nil {
		return nil
	}
	a := p.attachments[0]
	out = m.conditions.note(now, about(kindNetwork, a), ev.err)
	switch {
	case ev.err != nil && a.up():
		return append(out, m.endSession(a, ev.err.Error())...)
	case ev.err != nil || a.up() && a.session.at.keeps(ev.at):
		return out
	}
	if a.up() {
		out = append(append(out, m.endSession(a, "it has another place on it")...), m.tell()...)
	}
	a.on = ev.at.ifname
	local, remote := withZone(ev.at.local, a.on), withZone(a.lan.Address, a.on)
	a.session = newSession(m.number(), ends{local, remote}, ends{}, 0)
	a.session.at, a.session.addresses, a.session.ready = ev.at, ev.at.network, true
	m.changed = true
	return append(out, setLate{a.name, true}, setHop{a.on, false}, a.log(slog.LevelInfo, "on the peer's network", "address", ev.at.local))
}

// hopLost says that routes cannot use an interface any more because of the end of a session. That
// of a network is used for as long as one peer on it is left.
func (m *machine) hopLost(a *attachment) []effect {
	used := false
	m.all(func(o *attachment) { used = used || a.isLAN() && o.isLAN() && o.up() && o.on == a.on })
	if used {
		return nil
	}
	return []effect{setHop{a.ifname(), true}}
}

// changeNetwork takes the other config of a peer that is, or was, on a network.
func (m *machine) changeNetwork(plan peerPlan) (out []effect) {
	p := plan.peer
	p.bgp = plan.next.bgp
	if plan.fate == peerRebuilt {
		for _, a := range p.attachments {
			out = append(out, m.close(a, changedHere)...)
		}
		p.attachments = nil
		return append(append(out, m.attachAll(p, plan.next)...), reports(plan.lines)...)
	}
	a := p.attachments[0]
	a.lan = plan.next.bgp.LAN
	switch plan.fate {
	case networkMoved:
		out = m.endSession(a, "the peer has another address or interface in this router's configuration")
		m.conditions.forget(a)
		a.on = ""
	case networkAgain:
		if a.up() { // the speaker's process is not told of passwords
			m.startAgain(a, "the peer has another password or ttl_security in this router's configuration")
		}
	}
	return append(out, reports(plan.lines)...)
}

// networkError is why this router is not on the peer's network; nil: it is.
func (m *machine) networkError(a *attachment) error {
	if a.up() {
		return nil
	}
	if down := m.orders.Down[a.peer.name]; down != nil {
		return errors.New("taken down by " + byText(down.By))
	}
	if err := m.conditions.error(about(kindNetwork, a)); err != nil {
		return err
	}
	return errors.New("it was not looked for yet")
}
