package external

import (
	"net"
	"net/netip"
	"strconv"
)

// inZone puts a link-local address into the zone of an interface, by its index. The
// name would do as well, if package net did not remember for a minute which index it
// had.
func inZone(a netip.Addr, index int) netip.Addr {
	if isLinkLocal6(a) {
		return a.WithZone(strconv.Itoa(index))
	}
	return a
}

// renewZones has package net ask the kernel again which index a name has, so
// that zones which are names, as BGP's sockets have them, mean the interface
// that is there now and not the one that was there before. There is no function
// for that; but it asks when it meets an index that it does not know, and it
// looks up the index of each socket's own address.
func renewZones(local netip.Addr, index int) {
	if !isLinkLocal6(local) {
		return
	}
	c, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(inZone(local, index), 0)))
	if err == nil { // if not, the address is not there any more: the next look will tell
		c.Close()
	}
}
