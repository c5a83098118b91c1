package link

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// Sight is what there is to see of an interface at one moment.
type Sight struct {
	Index     int // 0: there is no such interface
	MTU       int // bytes
	Up        bool
	Running   bool // has a carrier, as far as its driver can tell (RFC 2863's operational state)
	Broadcast bool // an Ethernet segment or the like
	Addresses []netip.Prefix

	// The interface's own counters, which begin again when it is made again.
	// Drops are errors too, in both directions.
	RxBytes, TxBytes, RxPackets, TxPackets, Drops uint64
}

// Look sees the interface of that name in the calling thread's network
// namespace. It asks the kernel for this one alone, so that it costs the same
// among a thousand others: package net would list all of them, and all addresses.
func Look(name string) (Sight, error) {
	l, err := find(name)
	var s Sight
	if err == nil && l.Attrs().Name == name { // else it is another's second name
		s, err = look(l)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Sight{}, fmt.Errorf("link: look at %s: %w", name, err)
	}
	return s, nil
}

// look returns the zero Sight with an error.
func look(l netlink.Link) (Sight, error) {
	a := l.Attrs()
	s := Sight{
		Index: a.Index, MTU: a.MTU,
		Up:        a.RawFlags&unix.IFF_UP != 0,
		Running:   a.RawFlags&unix.IFF_RUNNING != 0,
		Broadcast: a.RawFlags&unix.IFF_BROADCAST != 0,
	}
	if c := a.Statistics; c != nil {
		s.RxBytes, s.TxBytes, s.RxPackets, s.TxPackets = c.RxBytes, c.TxBytes, c.RxPackets, c.TxPackets
		s.Drops = c.RxErrors + c.RxDropped + c.RxMissedErrors + c.TxErrors + c.TxDropped
	}
	have, err := addressesOf(l)
	if err != nil {
		return Sight{}, err
	}
	for _, h := range have {
		s.Addresses = append(s.Addresses, h.Prefix)
	}
	return s, nil
}

// addressesOf returns the addresses of one interface, which costs the same among a thousand others, or an error that
// wraps ErrNotFound.
func addressesOf(l netlink.Link) (all []rtnl.Address, err error) {
	s, err := newSource(nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	// Where many tunnels come up at once there is always something that interrupts a dump.
	whole, err := s.try(func() (err error) {
		all, err = s.addresses(uint32(l.Attrs().Index))
		return notFound(err)
	})
	if err == nil && !whole {
		err = fmt.Errorf("list addresses: %w", errInterrupted)
	}
	return all, err
}
