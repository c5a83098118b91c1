package external

import (
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
