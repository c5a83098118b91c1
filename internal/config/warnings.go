package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Host is what Warnings needs to know of the machine.
type Host struct {
	Interfaces []HostInterface
}

// HostInterface is one interface of the machine.
type HostInterface struct {
	Name      string
	Tunnel    bool           // Warren's own
	Loopback  bool           //
	Addresses []netip.Prefix // with the length of the subnet, host part included
}

// expiresSoon is how long before its end a certificate is worth a warning.
const expiresSoon = 14 * 24 * time.Hour

// Warnings returns what is legal on this host at this moment and probably wrong,
// in the order of the files. There are none of a Config that was not loaded from
// files.
func (c *Config) Warnings(h Host, now time.Time) Errors {
	if c.raw == nil {
		return nil
	}
	l := &loader{} // for its list of what was found
	ours := map[string]bool{}
	tunnels, accepted := c.tunnels(), c.Accept.sample.tunnels()
	for _, t := range tunnels {
		ours[t.Interface] = t.Transport == TransportExternal
	}
	var hosts []HostInterface // whose addresses are of the host's own networks
	for _, i := range h.Interfaces {
		if !i.Tunnel && !ours[i.Name] {
			hosts = append(hosts, i)
		}
	}
	l.warnCertificate(c, now)
	l.warnNetworks(c, hosts)
	l.warnHTTP(c)
	for _, t := range tunnels {
		l.peer = t.peer
		l.warnInterface(t, h)
		l.warnRemotes(c, t, h)
		l.warnDialing(t)
		l.warnDeadAfter(t)
		l.warnWeight(t, slices.Concat(tunnels, accepted))
	}
	for _, t := range accepted { // what is about a name, an address or the peer's end cannot be told of them
		l.peer = t.peer
		l.warnDeadAfter(t)
	}
	l.warnSubnets(tunnels)
	l.warnLANs(c, hosts)
	for i := range c.Peers {
		l.peer = &c.Peers[i]
		l.warnSeveral(c.Peers[i].tunnels())
		l.warnInternal(c, l.peer)
	}
	l.peer = &c.Accept.sample
	l.warnSeveral(accepted)
	l.warnOverlaps(c, hosts)
	l.peer = nil
	l.warnTemplates(c)
	l.finish()
	return l.errs
}

func (l *loader) warnCertificate(c *Config, now time.Time) {
	if c.TLS.Certificate == nil || c.TLS.Certificate.Leaf == nil {
		return
	}
	const refused = "peers that know this router by ca_file refuse it"
	at, file, leaf := c.raw.TLS.CertFile.place, c.TLS.CertFile, c.TLS.Certificate.Leaf
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
	switch {
	case now.After(leaf.NotAfter):
		l.fail(at, "%s: the certificate expired on %s: %s; renew it, or check the clock", file, day(leaf.NotAfter), refused)
	case now.Before(leaf.NotBefore):
		l.fail(at, "%s: the certificate is valid from %s on: until then %s; check the clock", file, day(leaf.NotBefore), refused)
	case leaf.NotAfter.Sub(now) <= expiresSoon:
		l.fail(at, "%s: the certificate expires on %s: after that %s; renew it", file, day(leaf.NotAfter), refused)
	}
}

// warnNetworks is about networks that this host is no part of. The default route is
// everybody's.
func (l *loader) warnNetworks(c *Config, hosts []HostInterface) {
	for i, e := range c.raw.Announce.Networks.v {
		n := c.Announce.Networks[i]
		if n.Bits() == 0 || addressInside(n, hosts) {
			continue
		}
		l.failElement(c.raw.Announce.Networks.place, e, fmt.Errorf(
			"has no address of this host inside: unless another router behind this one has the network, packets that peers send there get lost"))
	}
}

func addressInside(n netip.Prefix, hosts []HostInterface) bool {
	for _, i := range hosts {
		for _, a := range i.Addresses {
			if n.Contains(a.Addr()) {
				return true
			}
		}
	}
	return false
}

// warnInterface is about the name of a tunnel that something else has already. An external
// tunnel's interface is to be there.
func (l *loader) warnInterface(t peerTunnel, h Host) {
	if t.Transport == TransportExternal {
		return
	}
	for _, i := range h.Interfaces {
		if i.Name != t.Interface || i.Tunnel {
			continue
		}
		text := "%q is an interface of this host that is not a tunnel of warren's: the tunnel cannot be made"
		if t.raw.Interface.state == absent && t.n == 0 {
			text = "is absent, and the peer's name " + text
		} else if t.raw.Interface.state == absent {
			text = "is absent, and " + text
		}
		l.fail(t.raw.Interface.place, text+"; set another interface", i.Name)
	}
}

// warnRemotes is about a peer that this router itself is. Names are not resolved: what they
// mean may change.
func (l *loader) warnRemotes(c *Config, t peerTunnel, h Host) {
	for i, r := range t.Remotes {
		addr, err := netip.ParseAddr(r.Host)
		if strings.EqualFold(r.Host, "localhost") {
			addr, err = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
		}
		if err != nil || !c.listensFor(t, netip.AddrPortFrom(addr.Unmap().WithZone(""), r.Port)) || !h.has(addr.Unmap().WithZone("")) {
			continue
		}
		v := t.raw.Remotes
		l.failElement(v.place, v.v[i], fmt.Errorf("is this router itself: %v is an address of this host, and it listens on port %d; set the peer's address", addr, r.Port))
	}
}

// has reports whether the host has an address. It has all of 127.0.0.0/8.
func (h Host) has(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	for _, i := range h.Interfaces {
		for _, own := range i.Addresses {
			if own.Addr() == a {
				return true
			}
		}
	}
	return false
}

// listensFor reports whether this router receives what a tunnel of its own sends to an address.
func (c *Config) listensFor(t peerTunnel, a netip.AddrPort) bool {
	udp := a
	if t.UDPPort != 0 {
		udp = netip.AddrPortFrom(a.Addr(), t.UDPPort)
	}
	return t.OverTLS() && c.listensAt(TransportTLS, a) || t.OverWireGuard() && c.listensAt(TransportWireGuard, udp)
}

// listensAt reports whether this router receives what comes to an address of its own.
func (c *Config) listensAt(transport string, a netip.AddrPort) bool {
	if transport == TransportWireGuard {
		return c.WireGuard.ListenPort != 0 && c.WireGuard.ListenPort == a.Port()
	}
	for _, l := range c.TLS.Listen {
		any := l.Addr().IsUnspecified() && l.Addr().Is4() == a.Addr().Is4()
		if l.Port() == a.Port() && (any || l.Addr().Unmap().WithZone("") == a.Addr() || a.Addr().IsUnspecified()) {
			return true
		}
	}
	return false
}
