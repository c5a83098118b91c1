package fib

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// route is a kernel route, as far as this package looks at it.
type route struct {
	prefix   netip.Prefix
	table    uint32
	metric   uint32
	index    uint32 // of the outgoing interface; 0: none
	src      netip.Addr
	protocol uint8
	typ      uint8 // RTN_UNICAST, RTN_BLACKHOLE, …
	tos      uint8
	odd      bool // it has a gateway, several next hops or a next-hop object
}

// header is struct nlmsghdr without its length (include/uapi/linux/netlink.h).
type header struct {
	typ, flags uint16
	seq, pid   uint32
}

const (
	headerLen = unix.NLMSG_HDRLEN
	rtmsgLen  = unix.SizeofRtMsg
	attrLen   = unix.SizeofRtAttr

	// Of include/uapi/linux/rtnetlink.h, missing in x/sys.
	rtaNHID              = 30 // RTA_NH_ID
	rtextFilterSkipStats = 8  // RTEXT_FILTER_SKIP_STATS
)

func align4(n int) int { return (n + 3) &^ 3 }

// appendRoute appends an RTM_NEWROUTE or RTM_DELROUTE message to b.
func appendRoute(b []byte, typ, flags uint16, seq uint32, r route) []byte {
	start := len(b)
	b = append(b, make([]byte, headerLen+rtmsgLen)...)
	h, m := b[start:], b[start+headerLen:]
	binary.NativeEndian.PutUint16(h[4:], typ)
	binary.NativeEndian.PutUint16(h[6:], flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(h[8:], seq)

	m[0] = family(r.prefix)
	m[1] = uint8(r.prefix.Bits())
	m[3] = r.tos
	m[4] = unix.RT_TABLE_UNSPEC
	if r.table < 256 {
		m[4] = uint8(r.table)
	}
	m[5] = r.protocol
	m[6] = scope(typ, r)
	m[7] = r.typ

	if r.prefix.Bits() > 0 {
		b = appendAttr(b, unix.RTA_DST, r.prefix.Addr().AsSlice())
	}
	if r.table >= 256 {
		b = appendUint32(b, unix.RTA_TABLE, r.table)
	}
	if r.metric != 0 {
		b = appendUint32(b, unix.RTA_PRIORITY, r.metric)
	}
	if r.index != 0 {
		b = appendUint32(b, unix.RTA_OIF, r.index)
	}
	if r.src.IsValid() {
		b = appendAttr(b, unix.RTA_PREFSRC, r.src.AsSlice())
	}
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// scope is what rtm_scope has to be. For a removal RT_SCOPE_NOWHERE stands for
// any; a new IPv4 route into an interface is on-link; IPv6 has no scopes.
func scope(typ uint16, r route) uint8 {
	switch {
	case typ == unix.RTM_DELROUTE:
		return unix.RT_SCOPE_NOWHERE
	case r.prefix.Addr().Is4() && r.typ == unix.RTN_UNICAST:
		return unix.RT_SCOPE_LINK
	default:
		return unix.RT_SCOPE_UNIVERSE
	}
}

func family(p netip.Prefix) uint8 {
	if p.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func appendAttr(b []byte, typ uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrLen+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, align4(len(value))-len(value))...)
}

func appendUint32(b []byte, typ uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, attrLen+4)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return binary.NativeEndian.AppendUint32(b, v)
}

// messages yields the messages of one datagram. A truncated one ends it.
func messages(b []byte) iter.Seq2[header, []byte] {
	return func(yield func(header, []byte) bool) {
		for len(b) >= headerLen {
			n := int(binary.NativeEndian.Uint32(b))
			if n < headerLen || n > len(b) {
				return
			}
			h := header{
				typ:   binary.NativeEndian.Uint16(b[4:]),
				flags: binary.NativeEndian.Uint16(b[6:]),
				seq:   binary.NativeEndian.Uint32(b[8:]),
				pid:   binary.NativeEndian.Uint32(b[12:]),
			}
			if !yield(h, b[headerLen:n]) {
				return
			}
			b = b[min(align4(n), len(b)):]
		}
	}
}

// attributes yields type and value of each attribute in b.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrLen {
			n := int(binary.NativeEndian.Uint16(b))
			if n < attrLen || n > len(b) {
				return
			}
			typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(typ, b[attrLen:n]) {
				return
			}
			b = b[min(align4(n), len(b)):]
		}
	}
}

// parseRoute reads the payload of a route message. ok is false for anything
// that is not a plain IPv4 or IPv6 route.
func parseRoute(b []byte) (r route, ok bool) {
	if len(b) < rtmsgLen {
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
	r = route{tos: b[3], table: uint32(b[4]), protocol: b[5], typ: b[7], odd: b[2] != 0}
	for typ, v := range attributes(b[rtmsgLen:]) {
		switch typ {
		case unix.RTA_DST:
			a, valid := netip.AddrFromSlice(v)
			if !valid || a.Is4() != dst.Is4() {
				return r, false
			}
			dst = a
		case unix.RTA_PREFSRC:
			r.src, _ = netip.AddrFromSlice(v)
		case unix.RTA_TABLE:
			r.table = attrUint32(v)
		case unix.RTA_PRIORITY:
			r.metric = attrUint32(v)
		case unix.RTA_OIF:
			r.index = attrUint32(v)
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH, rtaNHID, unix.RTA_ENCAP:
			r.odd = true
		}
	}
	r.prefix = netip.PrefixFrom(dst, bits)
	return r, r.prefix.IsValid()
}

func attrUint32(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

// linkInfo is what a link message says.
type linkInfo struct {
	index uint32
	name  string
	up    bool // administratively: IFF_UP
}

// parseLink reads the payload of RTM_NEWLINK or RTM_DELLINK. ok is false for the
// messages of bridge ports, which share the type.
func parseLink(b []byte) (l linkInfo, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return l, false
	}
	l.index = binary.NativeEndian.Uint32(b[4:])
	l.up = binary.NativeEndian.Uint32(b[8:])&unix.IFF_UP != 0
	for typ, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		if typ == unix.IFLA_IFNAME {
			l.name = unix.ByteSliceToString(v)
		}
	}
	return l, l.name != ""
}

// parseAddr reads interface and address of RTM_NEWADDR or RTM_DELADDR.
func parseAddr(b []byte) (index uint32, addr netip.Addr, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return 0, addr, false
	}
	index = binary.NativeEndian.Uint32(b[4:])
	for typ, v := range attributes(b[unix.SizeofIfAddrmsg:]) {
		// IFA_LOCAL wins: on a point-to-point link IFA_ADDRESS is the far end.
		if typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS && !addr.IsValid() {
			addr, _ = netip.AddrFromSlice(v)
		}
	}
	return index, addr, addr.IsValid()
}

// routeRequest is the body of a dump of the owned routes of one family. On a
// strict socket the kernel filters.
func routeRequest(family uint8, cfg *Config) []byte {
	b := make([]byte, rtmsgLen)
	b[0] = family
	b[5] = uint8(cfg.Protocol)
	return appendUint32(b, unix.RTA_TABLE, uint32(cfg.Table))
}

// linkRequest is the body of a dump of the links without their statistics.
func linkRequest() []byte {
	return appendUint32(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_EXT_MASK, rtextFilterSkipStats)
}
