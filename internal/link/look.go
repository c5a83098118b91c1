package link

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
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
	if errors.Is(err, ErrNotFound) || err == nil && l.Attrs().Name != name { // it is another's second name
		return Sight{}, nil
	}
	if err != nil {
		return Sight{}, fmt.Errorf("link: look at %s: %w", name, err)
	}
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
	for range dumpTries {
		s.Addresses, err = addressesOf(a.Index)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil && !errors.Is(err, unix.ENODEV) { // it went away just now: the next look tells
		return Sight{}, fmt.Errorf("link: list the addresses of %s: %w", name, err)
	}
	return s, nil
}

// addressesOf returns the addresses of one interface. With strict checking (Linux
// 4.20) the kernel leaves out those of others itself.
func addressesOf(index int) ([]netip.Prefix, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	defer socket.Close()
	_ = unix.SetsockoptInt(socket.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	msg := nl.NewIfAddrmsg(unix.AF_UNSPEC)
	msg.Index = uint32(index)
	req.AddData(msg)
	var all []netip.Prefix
	err = req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWADDR, func(m []byte) bool {
		if p, ok := parseOwnAddress(m, index); ok {
			all = append(all, p)
		}
		return true
	})
	return all, err
}

// parseOwnAddress reads this end's address of a message about an interface, with
// the length of its subnet. ok is false if it is about another one, or there is
// no such address in it. On a point-to-point interface IFA_ADDRESS is the far
// end's and IFA_LOCAL this one's (linux/if_addr.h).
func parseOwnAddress(m []byte, index int) (p netip.Prefix, ok bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return p, false
	}
	msg := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofIfAddrmsg:])
	if err != nil || int(msg.Index) != index {
		return p, false
	}
	var own netip.Addr
	for _, a := range attrs {
		switch addr, isAddr := netip.AddrFromSlice(a.Value); {
		case a.Attr.Type == unix.IFA_LOCAL && isAddr:
			own = addr
		case a.Attr.Type == unix.IFA_ADDRESS && isAddr && !own.IsValid():
			own = addr
		}
	}
	p = netip.PrefixFrom(own, int(msg.Prefixlen))
	return p, p.IsValid()
}
