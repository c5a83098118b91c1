package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"warren/bgp"
	"warren/internal/config"
	"warren/tunnel"
)

// The two ends of a tunnel derive a pair of IPv6 addresses, and BGP is spoken between those.
// For an end that has no IPv6 they derive a pair of IPv4 addresses beside:
//
//  1. The end without IPv6, which finds that out by itself, dials and listens there only.
//  2. The end with IPv6 cannot know, and begins with IPv6. It has its IPv4 address too, and
//     listens there. A connection of the peer's says that the peer has no IPv6: this end
//     goes over to IPv4 for this session of the tunnel. With the next it begins again.
//
// So nothing has to be told, and whatever the two believe of one another, whoever dials over
// IPv4 is heard. Prefixes of both families travel in a session over either.

// ends are the two addresses of a tunnel.
type ends struct{ local, peer netip.Addr }

func (e ends) valid() bool { return e.local.IsValid() }

// endpoints4 returns the IPv4 addresses that both ends of a tunnel of our own derive, where
// they derive any.
func endpoints4(cfg config.Tunnel, local, peer tunnel.Identity) (e ends) {
	if !cfg.PeerAddress.IsValid() && len(cfg.Address) == 0 {
		e.local, e.peer = tunnel.Addresses4(local, peer, uint16(cfg.Link))
	}
	return e
}

// pairsOf returns derived addresses, each with the length of the pair that it is of.
func pairsOf(addrs []netip.Addr) []netip.Prefix {
	pairs := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		bits := tunnel.AddressBits
		if a.Is4() {
			bits = tunnel.Address4Bits
		}
		pairs = append(pairs, netip.PrefixFrom(a, bits))
	}
	return pairs
}

// locals are the addresses that the interface is to have for a session, unless they are
// configured.
func (s *session) locals() []netip.Addr {
	switch {
	case !s.ipv4.valid():
		return []netip.Addr{s.local}
	case s.noIPv6:
		return []netip.Addr{s.ipv4.local}
	}
	return []netip.Addr{s.ipv6.local, s.ipv4.local}
}

// hopAddresses are those of the interface that may be a next hop: not the one that is there
// only for a peer without IPv6.
func (s *session) hopAddresses() []netip.Prefix {
	if s.local.Is4() {
		return s.addresses
	}
	return slices.DeleteFunc(slices.Clone(s.addresses), func(p netip.Prefix) bool { return p.Addr() == s.ipv4.local })
}

// derived is the pair that the session would use if both ends had IPv6.
func (s *session) derived() ends {
	if s.ipv4.valid() {
		return s.ipv6
	}
	return ends{s.local, s.peer}
}

// withoutIPv6 has the session of a peer use the IPv4 addresses, because the interface can have
// no others.
func (l *loop) withoutIPv6(p *peer) {
	s := p.session
	s.noIPv6 = true
	s.local, s.peer = s.ipv4.local, s.ipv4.peer
	l.log.Info("no IPv6 here: BGP goes over IPv4", "peer", p.cfg.Name, "interface", p.cfg.Tunnels[0].Interface, "address", s.local)
}

// listenBeside waits for a peer without IPv6.
func (l *loop) listenBeside(p *peer) {
	s := p.session
	if !s.ipv4.valid() || s.local.Is4() || s.fallback != nil {
		return
	}
	stopped := make(chan struct{})
	stop, err := l.beside(p.cfg.Tunnels[0].Interface, s.ipv4, func() {
		select {
		case l.calls <- s:
		case <-stopped:
		}
	})
	if err != nil { // BGP cannot listen either, and says so
		l.log.Debug("cannot listen for a peer without IPv6", "peer", p.cfg.Name, "err", err)
		return
	}
	s.fallback = sync.OnceFunc(func() {
		close(stopped)
		stop()
	})
}

// endFallback is for any session, or none.
func (s *session) endFallback() {
	if s != nil && s.fallback != nil {
		s.fallback()
		s.fallback = nil
	}
}

// called is told that the peer of a session has called over IPv4. While there is a session
// over IPv6 that means nothing.
func (l *loop) called(s *session) {
	for _, p := range l.peers {
		if p.session != s || s.local.Is4() || l.isEstablished(p.cfg.Name) {
			continue
		}
		s.endFallback() // BGP is to listen there now
		s.local, s.peer = s.ipv4.local, s.ipv4.peer
		l.generation++
		s.generation = l.generation
		l.log.Info("the peer has no IPv6: BGP goes over IPv4", "peer", p.cfg.Name, "interface", p.cfg.Tunnels[0].Interface, "address", s.local)
		l.want()
	}
}

func (l *loop) isEstablished(name string) bool {
	return slices.ContainsFunc(l.speaker.Neighbors(), func(n bgp.NeighborStatus) bool {
		return n.Name == name && n.State == "established"
	})
}

func isIPv6(p netip.Prefix) bool { return p.Addr().Is6() }

// onlyIPv4 is the part of a policy that is about IPv4.
func onlyIPv4(p bgp.Policy) bgp.Policy {
	var filters []bgp.Filter
	if p.Any {
		filters = append(filters, bgp.Filter{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Ge: 1, Le: 32})
	}
	if p.Default {
		filters = append(filters, bgp.Filter{Prefix: netip.MustParsePrefix("0.0.0.0/0")})
	}
	for _, f := range p.Prefixes {
		if f.Prefix.Addr().Is4() {
			filters = append(filters, f)
		}
	}
	return bgp.Policy{Own: p.Own, Prefixes: filters}
}

// noIPv6Hint is about networks that cannot be reached here.
func (l *loop) noIPv6Hint() string {
	var networks []string
	for _, n := range l.cfg.Announce.Networks {
		if isIPv6(n) {
			networks = append(networks, n.String())
		}
	}
	if !l.state.noIPv6 || len(networks) == 0 {
		return ""
	}
	return fmt.Sprintf("this kernel has no IPv6, so that %s not announced: take IPv6 out of [announce] networks, "+
		"or turn it on (ipv6.disable on the kernel's command line)", few(networks)+isOrAre(networks))
}
