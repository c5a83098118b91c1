package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// MaxAssign is how many addresses a router can assign to one peer.
const MaxAssign = 16

// assignedWord is what address is where the peer assigns this router's addresses.
const assignedWord = "assigned"

// assigned reports whether the peer assigns this router's addresses.
func (t *rawTunnel) assigned() bool {
	return t.Address.state == given && t.Address.v.word == assignedWord
}

// refuseAssigned reports a key that means nothing where addresses are assigned.
func (l *loader) refuseAssigned(key interface{ isGiven() (place, bool) }, why string) {
	if at, given := key.isGiven(); given {
		l.fail(at, "means nothing with address = %q: %s", assignedWord, why)
	}
}

// assign reads the addresses that the peer is to have.
func (l *loader) assign(v value[list]) (all []netip.Prefix) {
	if len(v.v) > MaxAssign {
		l.fail(v.place, "has %d addresses; allowed are at most %d", len(v.v), MaxAssign)
		return nil
	}
	for _, e := range v.v {
		p, err := parsePrefix(e.text)
		if err == nil {
			switch {
			case !p.IsSingleIP():
				err = fmt.Errorf("is a network; write one address that the peer is to have, such as %v", netip.PrefixFrom(p.Addr().Next(), p.Addr().BitLen()))
			case checkHost(p, p.Addr()) != nil:
				err = errors.New("is not an address that a router can have")
			case slices.Contains(all, p):
				err = errTwice
			}
		}
		if err != nil {
			l.failElement(v.place, e, err)
			continue
		}
		all = append(all, p)
	}
	return all
}

// checkAssigned checks that no two peers are to have one address, and none that this router
// has in a tunnel. The tunnels of one peer may assign the same.
func (l *loader) checkAssigned(tunnels []peerTunnel) {
	own, assigned := map[netip.Addr]peerTunnel{}, map[netip.Prefix]peerTunnel{}
	for _, t := range tunnels {
		for _, a := range t.Address {
			own[a.Addr()] = t
		}
	}
	for _, t := range tunnels {
		l.peer = t.peer
		if v := t.raw.Assign; v.inherited || len(t.Assign) != len(v.v) {
			continue // checked with the first, or wrong already
		}
		for i, p := range t.Assign {
			if o, taken := assigned[p]; taken && o.peer != t.peer {
				l.failElement(t.raw.Assign.place, t.raw.Assign.v[i], fmt.Errorf("is assigned to the peer in %s already; two peers cannot have one address", o.peer.where()))
				continue
			}
			assigned[p] = t
			if o, taken := own[p.Addr()]; taken {
				l.failElement(t.raw.Assign.place, t.raw.Assign.v[i], fmt.Errorf("is this router's own, in the tunnel of %s; the peer cannot have it", o.peer.where()))
			}
		}
	}
}
