package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Route is a kernel route as far as this router writes routes: into an interface, by a gateway
// or not, or nowhere.
type Route struct {
	Prefix   netip.Prefix
	Table    uint32
	Metric   uint32
	Index    uint32     // of the outgoing interface; 0: none
	NextHop  uint32     // number of the next-hop object that it uses, then Index is 0; 0: none
	Gateway  netip.Addr // on the interface, without a zone, of either family; not valid: none
	Source   netip.Addr
	Protocol uint8
	Type     uint8 // RTN_UNICAST, RTN_BLACKHOLE, …
	TOS      uint8
	Odd      bool // it has what the other fields cannot say: several next hops, an encapsulation, …
}

// Of include/uapi/linux/rtnetlink.h, missing in x/sys.
const rtaNHID = 30 // RTA_NH_ID

// AppendRoute appends an RTM_NEWROUTE or RTM_DELROUTE message to b.
func AppendRoute(b []byte, typ, flags uint16, seq uint32, r Route) []byte {
	start := len(b)
	b = appendHeader(b, typ, flags, seq, unix.SizeofRtMsg)
	m := b[start+HeaderLen:]
	m[0] = family(r.Prefix)
	m[1] = uint8(r.Prefix.Bits())
	m[3] = r.TOS
	m[4] = unix.RT_TABLE_UNSPEC
	if r.Table < 256 {
		m[4] = uint8(r.Table)
	}
	m[5] = r.Protocol
	m[6] = scope(typ, r)
	m[7] = r.Type

	if r.Prefix.Bits() > 0 {
		b = AppendAttr(b, unix.RTA_DST, r.Prefix.Addr().AsSlice())
	}
	if r.Table >= 256 {
		b = AppendUint32(b, unix.RTA_TABLE, r.Table)
	}
	if r.Metric != 0 {
		b = AppendUint32(b, unix.RTA_PRIORITY, r.Metric)
	}
	if r.Index != 0 {
		b = AppendUint32(b, unix.RTA_OIF, r.Index)
	}
	if r.NextHop != 0 {
		b = AppendUint32(b, rtaNHID, r.NextHop)
	}
	b = appendGateway(b, family(r.Prefix), r.Gateway)
	if r.Source.IsValid() {
		b = AppendAttr(b, unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	return finish(b, start)
}

// scope is what rtm_scope has to be. For a removal RT_SCOPE_NOWHERE stands for
// any; a new IPv4 route into an interface is on-link unless it has a gateway; IPv6 has no scopes.
func scope(typ uint16, r Route) uint8 {
	switch {
	case typ == unix.RTM_DELROUTE:
		return unix.RT_SCOPE_NOWHERE
	case r.Prefix.Addr().Is4() && r.Type == unix.RTN_UNICAST && !r.Gateway.IsValid():
		return unix.RT_SCOPE_LINK
	default:
		return unix.RT_SCOPE_UNIVERSE
	}
}

// ParseRoute reads the payload of a route message. ok is false for anything
// that is not an IPv4 or IPv6 route.
func ParseRoute(b []byte) (r Route, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return r, false
	}
	dst := netip.IPv6Unspecified()
	switch b[0] {
	case unix.AF_INET:
		dst = netip.IPv4Unspecified()
	case unix.AF_INET6:
	default:
		return r, false
	}
	if binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return r, false // an entry of a cache
	}
	bits := int(b[1])
	r = Route{TOS: b[3], Table: uint32(b[4]), Protocol: b[5], Type: b[7], Odd: b[2] != 0}
	foreign := false // ways that are not one interface
	for typ, v := range Attributes(b[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_DST:
			a, valid := netip.AddrFromSlice(v)
			if !valid || a.Is4() != dst.Is4() {
				return r, false
			}
			dst = a
		case unix.RTA_PREFSRC:
			r.Source, _ = netip.AddrFromSlice(v)
		case unix.RTA_TABLE:
			r.Table = attrUint32(v)
		case unix.RTA_PRIORITY:
			r.Metric = attrUint32(v)
		case unix.RTA_OIF:
			r.Index = attrUint32(v)
		case rtaNHID:
			r.NextHop = attrUint32(v)
		case unix.RTA_GATEWAY:
			r.Gateway = parseGateway(b[0], v)
			foreign = foreign || !r.Gateway.IsValid()
		case unix.RTA_VIA: // struct rtvia: the family, then an address of it
			if len(v) > 2 {
				r.Gateway = parseGateway(uint8(binary.NativeEndian.Uint16(v)), v[2:])
			}
			foreign = foreign || !r.Gateway.IsValid()
		case unix.RTA_MULTIPATH, unix.RTA_ENCAP:
			foreign = true
		}
	}
	if r.NextHop != 0 {
		r.Index, r.Gateway = 0, netip.Addr{} // like all that describes a way, the kernel's rendering of the object
	} else {
		r.Odd = r.Odd || foreign
	}
	r.Prefix = netip.PrefixFrom(dst, bits)
	return r, r.Prefix.IsValid()
}

// parseGateway reads the address of a gateway. It is not valid if it is not of the family.
func parseGateway(family uint8, v []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(v)
	if a.Is4() != (family == unix.AF_INET) || a.Is6() != (family == unix.AF_INET6) {
		return netip.Addr{}
	}
	return a
}

// appendGateway appends the gateway of a route of family, if there is one.
func appendGateway(b []byte, family uint8, gateway netip.Addr) []byte {
	switch {
	case !gateway.IsValid():
		return b
	case gateway.Is4() == (family == unix.AF_INET):
		return AppendAttr(b, unix.RTA_GATEWAY, gateway.AsSlice())
	}
	of := uint16(unix.AF_INET6)
	if gateway.Is4() {
		of = unix.AF_INET
	}
	via := binary.NativeEndian.AppendUint16(nil, of) // struct rtvia
	return AppendAttr(b, unix.RTA_VIA, append(via, gateway.AsSlice()...))
}

// RouteRequest is the body of a dump of the routes of one family, table and protocol.
// On a [Conn], which is strict, the kernel filters.
func RouteRequest(family uint8, table uint32, protocol uint8) []byte {
	b := make([]byte, unix.SizeofRtMsg)
	b[0] = family
	b[5] = protocol
	return AppendUint32(b, unix.RTA_TABLE, table)
}
