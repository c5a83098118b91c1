package sockets

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"warren/bgp"
)

// renewZone has package net ask the kernel again which index the name of a
// link-local address's interface has: it remembers that for a minute, while an
// interface may be made anew with the same name, and sockets would then be of an
// interface that is gone. There is no function for that; but it asks when it
// meets an index that it does not know, and it looks up the index of each
// socket's own address.
func renewZone(ctx context.Context, local netip.Addr) {
	name := local.Zone()
	if name == "" {
		return
	}
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return // gone: so is the tunnel, soon
	}
	lc := net.ListenConfig{Control: control(&bgp.Neighbor{LocalAddr: local, Interface: name})}
	to := netip.AddrPortFrom(local.WithZone(strconv.Itoa(ifi.Index)), 0)
	if c, err := lc.ListenPacket(ctx, "udp6", to.String()); err == nil { // if not, listening fails too, and says so
		_ = c.Close()
	}
}
