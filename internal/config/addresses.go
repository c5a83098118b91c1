package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ownAddresses reads this end's addresses. ok is false if one was wrong.
func (l *loader) ownAddresses(raw *rawTunnel) (own []netip.Prefix, ok bool) {
	ok = raw.Address.state != faulty
	if raw.Address.state == given && raw.Address.v.word != "" && !raw.assigned() {
		l.fail(raw.Address.place, "%q is neither %q nor a list of addresses, such as [\"10.0.0.1/31\"]", raw.Address.v.word, assignedWord)
		return nil, false
	}
	for _, e := range raw.Address.v.list {
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
	if raw.assigned() {
		l.refuseAssigned(&raw.PeerAddress, "both ends derive the tunnel's addresses; leave it out")
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
			len(others), strings.Join(raw.Address.v.list.texts(), ", "))
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
