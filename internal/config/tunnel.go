package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The defaults of [tunnel].
const (
	defaultMTU          = 1500
	defaultWireGuardMTU = 1420 // leaves room for the outer headers of both families in 1500
	defaultKeepalive    = time.Second
	defaultDeadAfter    = 3 * time.Second
)

// tunnel makes a Tunnel of what a peer's file says.
func (l *loader) tunnel(peer string, raw *rawTunnel) Tunnel {
	switch l.transport(raw.Transport) {
	case TransportExternal:
		return l.external(raw)
	case TransportWireGuard:
		return l.wireguardTunnel(peer, raw)
	default:
		return l.tlsTunnel(peer, raw)
	}
}

func (l *loader) tlsTunnel(peer string, raw *rawTunnel) Tunnel {
	const other = "WireGuard has such keys; over TLS a peer is known by fingerprint, secret_file or ca_file"
	l.refuse(TransportTLS, &raw.PublicKey, other)
	l.refuse(TransportTLS, &raw.PublicKeys, other)
	l.refuse(TransportTLS, &raw.PresharedKeyFile, other)
	l.refuse(TransportTLS, &raw.PersistentKeepalive, "keepalive keeps the way open")
	l.refuse(TransportTLS, &raw.Probe, "it knows by itself when its peer is silent")
	t := l.ownTunnel(peer, raw, defaultMTU, MaxMTU)
	t.Transport, t.Trust = TransportTLS, l.tlsTrust(raw)
	t.Keepalive, t.DeadAfter = l.liveness(raw)
	return t
}

// refuse reports a key that means nothing with a transport.
func (l *loader) refuse(transport string, key interface{ isGiven() (place, bool) }, why string) {
	if at, given := key.isGiven(); given {
		l.fail(at, "means nothing with transport = %q: %s", transport, why)
	}
}

// ownTunnel reads what the transports have in common that make the interface
// themselves.
func (l *loader) ownTunnel(peer string, raw *rawTunnel, defaultMTU, maxMTU int64) Tunnel {
	usual := "443"
	if raw.Transport.v == TransportWireGuard {
		usual = "51820"
	}
	t := Tunnel{
		Remotes:   l.remotes(raw.Remotes, usual, raw.Underlay.state == given),
		Link:      int(l.number(raw.Link, 0, 0, 65535)),
		Interface: l.tunnelInterface(peer, raw.Interface),
		MTU:       int(l.number(raw.MTU, defaultMTU, MinMTU, maxMTU)),
	}
	t.Address, t.PeerAddress = l.addresses(raw)
	if raw.Underlay.state == given {
		t.Underlay = raw.Underlay.v
		if err := checkInterface(t.Underlay); err != nil {
			l.fail(raw.Underlay.place, "%q %v", t.Underlay, err)
		} else if t.Underlay == t.Interface {
			l.fail(raw.Underlay.place, "%q is the tunnel itself; name the interface that its packets leave by", t.Underlay)
		}
	}
	return t
}

// transport returns the default for one that is wrong, so that the other keys
// are checked as most peers' are.
func (l *loader) transport(v value[string]) string {
	switch {
	case v.state != given || v.v == TransportTLS:
	case v.v == TransportWireGuard || v.v == TransportExternal:
		return v.v
	default:
		l.fail(v.place, "%q is not a transport; allowed are %q, %q and %q", v.v, TransportTLS, TransportWireGuard, TransportExternal)
	}
	return TransportTLS
}

// remotes reads endpoints to dial. Of a link-local one, an underlay says on which link it is.
func (l *loader) remotes(v value[list], usual string, underlay bool) []Remote {
	var remotes []Remote
	for _, e := range v.v {
		r, err := parseRemote(e.text, usual)
		if a, _ := netip.ParseAddr(r.Host); err == nil && a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" && !underlay {
			err = fmt.Errorf("is a link-local address: name its interface, as in [%s%%eth0]:%d, or set underlay", r.Host, r.Port)
		}
		if err != nil {
			l.failElement(v.place, e, err)
		} else if slices.Contains(remotes, r) {
			l.failElement(v.place, e, errTwice)
		} else {
			remotes = append(remotes, r)
		}
	}
	return remotes
}

func (l *loader) tunnelInterface(peer string, v value[string]) string {
	switch v.state {
	case absent:
		if err := checkInterface(peer); err != nil && checkName(peer) == nil {
			l.fail(v.place, "is absent, and the peer's name %q %v: set interface", peer, err)
		}
		return peer
	case given:
		if err := checkInterface(v.v); err != nil {
			l.fail(v.place, "%q %v", v.v, err)
		}
	}
	return v.v
}

// liveness reads the two times that depend on one another.
func (l *loader) liveness(raw *rawTunnel) (keepalive, deadAfter time.Duration) {
	keepalive = l.duration(raw.Keepalive, defaultKeepalive, minKeepalive, maxKeepalive)
	deadAfter = l.duration(raw.DeadAfter, defaultDeadAfter, 200*time.Millisecond, 10*time.Minute)
	if keepalive == 0 || deadAfter == 0 || deadAfter >= 2*keepalive {
		return keepalive, deadAfter
	}
	if raw.DeadAfter.state == given {
		l.fail(raw.DeadAfter.place, "%v is less than twice keepalive, which is %v; allowed are %v to 10m", deadAfter, keepalive, 2*keepalive)
	} else {
		l.fail(raw.Keepalive.place, "%v is more than half of dead_after, which is %v; set dead_after to at least %v",
			keepalive, deadAfter, 2*keepalive)
	}
	return keepalive, deadAfter
}

// duration reads a duration that has a default. It returns 0 if it is wrong.
func (l *loader) duration(v value[string], otherwise, least, most time.Duration) time.Duration {
	switch v.state {
	case absent:
		return otherwise
	case faulty:
		return 0
	}
	d, err := parseDuration(v.v, least, most)
	if err != nil {
		l.fail(v.place, "%q %v", v.v, err)
		return 0
	}
	return d
}

// ownAddresses reads this end's addresses. ok is false if one was wrong.
func (l *loader) ownAddresses(raw *rawTunnel) (own []netip.Prefix, ok bool) {
	ok = raw.Address.state != faulty
	for _, e := range raw.Address.v {
		p, err := parseInterfaceAddress(e.text)
		if err == nil && slices.ContainsFunc(own, func(o netip.Prefix) bool { return o.Addr() == p.Addr() }) {
			err = errTwice
		}
		if err != nil {
			l.failElement(raw.Address.place, e, err)
			ok = false
			continue
		}
		own = append(own, p)
	}
	return own, ok
}

// addresses reads the addresses of a tunnel's two ends. They are given
// together or not at all, except that a subnet of two hosts tells the other.
func (l *loader) addresses(raw *rawTunnel) ([]netip.Prefix, netip.Addr) {
	own, ok := l.ownAddresses(raw)
	if !ok || raw.PeerAddress.state == faulty {
		return nil, netip.Addr{}
	}
	if raw.PeerAddress.state == given {
		peer, err := checkPeerAddress(raw.PeerAddress.v, own)
		if err != nil {
			l.fail(raw.PeerAddress.place, "%q %v", raw.PeerAddress.v, err)
			return nil, netip.Addr{}
		}
		return own, peer
	}
	if len(own) == 0 {
		return nil, netip.Addr{}
	}
	var others []netip.Addr
	for _, p := range own {
		if other, ok := otherHost(p); ok {
			others = append(others, other)
		}
	}
	if len(others) != 1 {
		l.fail(raw.PeerAddress.place, "is required with address, which has %d subnets of two hosts that would tell it: set the peer's address in one of %s",
			len(others), strings.Join(raw.Address.v.texts(), ", "))
		return nil, netip.Addr{}
	}
	return own, others[0]
}

// checkPeerAddress reads the neighbor's address, which must be a host in one
// of the interface's subnets.
func checkPeerAddress(s string, own []netip.Prefix) (netip.Addr, error) {
	addr, err := parsePeerAddress(s)
	if err != nil {
		return addr, err
	}
	if len(own) == 0 {
		return addr, errors.New("needs address, this end's address in the same subnet; leave both out to have them derived")
	}
	return addr, checkInSubnet(addr, own)
}

func parsePeerAddress(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return addr, errors.New("is not an address, such as fe80::2 or 10.0.0.0")
	}
	if addr.Zone() != "" {
		return addr, fmt.Errorf("has a zone: write %v; the zone is always the tunnel's interface", addr.WithZone(""))
	}
	return addr, nil
}

// checkInSubnet reports whether addr can be the peer's where own are ours.
func checkInSubnet(addr netip.Addr, own []netip.Prefix) error {
	for _, p := range own {
		if p.Addr() == addr {
			return errors.New("is in address too, so it is this end's; it must be the peer's")
		}
	}
	for _, p := range own {
		if p.Contains(addr) {
			return checkHost(p, addr)
		}
	}
	return errors.New("is in no subnet of address")
}

// otherHost returns the other host of a subnet of two: /31, /127, and /30
// without its first and last address.
func otherHost(p netip.Prefix) (netip.Addr, bool) {
	switch addr := p.Addr(); {
	case p.Bits() == addr.BitLen()-1:
		if next := addr.Next(); p.Contains(next) {
			return next, true
		}
		return addr.Prev(), true
	case addr.Is4() && p.Bits() == 30:
		if addr.Prev() == p.Masked().Addr() {
			return addr.Next(), true
		}
		return addr.Prev(), true
	}
	return netip.Addr{}, false
}
