package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

type localRoute struct {
	prefix   netip.Prefix
	protocol uint8
	typ      uint8
	gateway  bool
	indexes  [maxHops]int // of the outgoing interfaces, the first maxHops of them
}

// hop is one way that a route leads.
type hop struct {
	index   int        // of the outgoing interface
	gateway netip.Addr // invalid if there is none
}

// maxHops is how many next hops of a foreign route are looked at.
const maxHops = 8

// readRoutes appends the routes of a family. It looks at the protocol before
// anything else, so that a million owned routes cost little.
func (s *source) readRoutes(snap *snapshot, family uint8) error {
	gateways := make(map[netip.Addr]bool)
	err := s.dump(unix.RTM_GETROUTE, rtnl.RouteRequest(family, unix.RT_TABLE_MAIN, 0), func(typ uint16, m []byte) {
		if typ != unix.RTM_NEWROUTE || len(m) < unix.SizeofRtMsg {
			return
		}
		table, protocol, flags := m[4], m[5], binary.NativeEndian.Uint32(m[8:])
		if m[0] != family || table != unix.RT_TABLE_MAIN || flags&unix.RTM_F_CLONED != 0 ||
			protocol <= unix.RTPROT_KERNEL || slices.Contains(s.owned, int(protocol)) {
			return
		}
		r, hops := parseRoute(rtnl.Spell(m, s.objects))
		for _, h := range hops {
			if g := h.gateway; g.IsValid() && !g.IsLinkLocalUnicast() {
				gateways[g] = true
			}
		}
		if announceable(r.prefix) {
			snap.routes = append(snap.routes, r)
		}
	})
	snap.gateways = slices.AppendSeq(snap.gateways, maps.Keys(gateways))
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return nil // no such table yet, or no IPv6
	case err != nil:
		return fmt.Errorf("list routes: %w", err)
	}
	return nil
}

// parseRoute reads the payload of a route message.
func parseRoute(m []byte) (r localRoute, hops []hop) {
	r = localRoute{protocol: m[5], typ: m[7]}
	dst := netip.IPv4Unspecified()
	if m[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	attrs := m[unix.SizeofRtMsg:]
	only := parseHop(attrs)
	hops = []hop{only}
	r.gateway = only.gateway.IsValid()
	for typ, v := range rtnl.Attributes(attrs) {
		switch typ {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case unix.RTA_MULTIPATH:
			r.gateway = true
			hops = parseHops(v)
		}
	}
	for i, h := range hops[:min(len(hops), maxHops)] {
		r.indexes[i] = h.index
	}
	r.prefix = netip.PrefixFrom(dst, int(m[1]))
	return r, hops
}

// parseHop reads the attributes that say where a route leads.
func parseHop(attrs []byte) (h hop) {
	for typ, v := range rtnl.Attributes(attrs) {
		switch typ {
		case unix.RTA_GATEWAY:
			h.gateway, _ = netip.AddrFromSlice(v)
		case unix.RTA_VIA: // struct rtvia: the family, then an address of it
			if len(v) > 2 {
				h.gateway, _ = netip.AddrFromSlice(v[2:])
			}
		case unix.RTA_OIF:
			if len(v) >= 4 {
				h.index = int(binary.NativeEndian.Uint32(v))
			}
		}
	}
	return h
}

// parseHops reads a list of struct rtnexthop, each with attributes behind it.
func parseHops(b []byte) (hops []hop) {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		h := parseHop(b[unix.SizeofRtNexthop:size])
		h.index = int(int32(binary.NativeEndian.Uint32(b[4:])))
		hops = append(hops, h)
		b = b[min((size+3)&^3, len(b)):]
	}
	return hops
}
