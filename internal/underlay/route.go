package underlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// A copy of a route is made from its netlink message, not from a decoded form:
// an attribute this package has never heard of is copied like any other. Only
// what must differ in the copy, or is not the route's own, is taken out.

const rtaNHID = 30 // RTA_NH_ID of linux/rtnetlink.h; x/sys has no name for it

// routeKey is what tells the routes of one table apart.
type routeKey struct {
	dst, src netip.Prefix // src is set in source-specific IPv6 routes only
	tos      uint8
	metric   uint32
}

// route is a route in a form in which an original and its copy are equal.
type route struct {
	body    string // struct rtmsg and attributes, without table, protocol and metric
	metric  uint32 // of the original
	pref    uint8  // of the router (RFC 4191), as in RTA_PREF
	gateway bool   // needs the connected routes to be there first
}

// rtmsg gives names to the bytes of struct rtmsg (linux/rtnetlink.h).
const (
	rtFamily = iota
	rtDstLen
	rtSrcLen
	rtTOS
	rtTable
	rtProtocol
	rtScope
	rtType
	rtFlags // four bytes
)

var errShort = errors.New("route message is too short")

// attr is one netlink attribute; its value aliases the message.
type attr struct {
	typ   uint16
	value []byte
}

// parseAttrs returns the attributes with their types as they are: rtnl.Attributes takes the flags
// off, which a copy repeats.
func parseAttrs(b []byte) ([]attr, error) {
	attrs := make([]attr, 0, 8)
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return nil, errShort
		}
		attrs = append(attrs, attr{binary.NativeEndian.Uint16(b[2:]), b[unix.SizeofRtAttr:n]})
		b = b[min(align(n), len(b)):]
	}
	return attrs, nil
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// routeTable reads the table of a route message, which for numbers over 255 is
// in an attribute.
func routeTable(m []byte) uint32 {
	attrs, err := parseAttrs(m[unix.SizeofRtMsg:])
	if err != nil {
		return unix.RT_TABLE_UNSPEC
	}
	for _, a := range attrs {
		if a.typ == unix.RTA_TABLE && len(a.value) >= 4 {
			return binary.NativeEndian.Uint32(a.value)
		}
	}
	return uint32(m[rtTable])
}

// parseRoute normalises a route message. ok is false if nothing is left of the
// route without the next hops through interfaces for which avoid is true.
func parseRoute(m []byte, avoid func(ifindex uint32) bool) (key routeKey, r route, ok bool, err error) {
	if len(m) < unix.SizeofRtMsg {
		return key, r, false, errShort
	}
	attrs, err := parseAttrs(m[unix.SizeofRtMsg:])
	if err != nil {
		return key, r, false, err
	}
	head := normalHead(m)
	key = routeKey{tos: m[rtTOS]}
	key.dst = prefixOf(head[rtFamily], find(attrs, unix.RTA_DST), m[rtDstLen])
	if m[rtSrcLen] != 0 {
		key.src = prefixOf(head[rtFamily], find(attrs, unix.RTA_SRC), m[rtSrcLen])
	}
	if v := find(attrs, unix.RTA_PRIORITY); len(v) >= 4 {
		key.metric = binary.NativeEndian.Uint32(v)
	}
	r.metric = key.metric
	if v := find(attrs, unix.RTA_PREF); len(v) >= 1 {
		r.pref = v[0]
	}
	attrs = slices.DeleteFunc(attrs, notCopied)
	attrs, ok, err = wayOut(head, attrs, avoid)
	if err != nil || !ok {
		return key, r, false, err
	}
	slices.SortFunc(attrs, func(a, b attr) int { return int(a.typ) - int(b.typ) })
	body := append(make([]byte, 0, len(m)), head[:]...)
	for _, a := range attrs {
		body = rtnl.AppendAttr(body, a.typ, a.value)
		switch a.typ {
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH, rtaNHID:
			r.gateway = true
		}
	}
	r.body = string(body)
	return key, r, true, nil
}

// normalHead is the message's struct rtmsg without what the kernel adds and
// without what the copy has of its own.
func normalHead(m []byte) (head [unix.SizeofRtMsg]byte) {
	copy(head[:], m)
	head[rtTable], head[rtProtocol] = 0, 0
	flags := binary.NativeEndian.Uint32(head[rtFlags:]) & unix.RTNH_F_ONLINK
	binary.NativeEndian.PutUint32(head[rtFlags:], flags)
	return head
}

// notCopied names the attributes that belong to the original only. The expiry
// of a route learned from a router advertisement is among them: the kernel
// prolongs it without telling anyone, but does tell when it is over.
func notCopied(a attr) bool {
	switch a.typ {
	case unix.RTA_TABLE, unix.RTA_PRIORITY, unix.RTA_CACHEINFO, unix.RTA_EXPIRES, unix.RTA_UID, unix.RTA_IIF:
		return true
	case unix.RTA_PREF: // medium is the default
		return len(a.value) == 0 || a.value[0] == 0
	}
	return false
}

func isWay(a attr) bool {
	switch a.typ {
	case unix.RTA_OIF, unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE:
		return true
	}
	return false
}

// wayOut takes the next hops to avoid out of a route's attributes, and reports
// whether the route still leads anywhere.
func wayOut(head [unix.SizeofRtMsg]byte, attrs []attr, avoid func(uint32) bool) ([]attr, bool, error) {
	switch head[rtType] {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		// IPv6 shows lo as the interface of these, IPv4 refuses to be told one.
		return slices.DeleteFunc(attrs, isWay), true, nil
	}
	if v := find(attrs, unix.RTA_OIF); len(v) >= 4 && avoid(binary.NativeEndian.Uint32(v)) {
		return nil, false, nil
	}
	hasObject := find(attrs, rtaNHID) != nil
	paths := find(attrs, unix.RTA_MULTIPATH)
	if paths == nil {
		if hasObject && find(attrs, unix.RTA_OIF) == nil {
			return nil, false, nil // nobody knows where to
		}
		if hasObject { // what else is there is the kernel's rendering of it
			attrs = slices.DeleteFunc(attrs, isWay)
		}
		return attrs, true, nil
	}
	hops, dropped, err := usableHops(paths, avoid)
	if err != nil || len(hops) == 0 {
		return nil, false, err
	}
	if hasObject && !dropped {
		return slices.DeleteFunc(attrs, isWay), true, nil
	}
	attrs = slices.DeleteFunc(attrs, func(a attr) bool { return isWay(a) || a.typ == rtaNHID })
	if len(hops) == 1 { // the kernel shows such a route as a plain one
		more, err := plainHop(hops[0])
		return append(attrs, more...), true, err
	}
	// The order has no meaning, and IPv6 does not keep it.
	slices.SortFunc(hops, bytes.Compare)
	return append(attrs, attr{unix.RTA_MULTIPATH, bytes.Join(hops, nil)}), true, nil
}

// usableHops splits the value of RTA_MULTIPATH into its struct rtnexthop, without
// those to avoid and without those the kernel itself has given up (their
// interface is down; it refuses them in a new route).
func usableHops(b []byte, avoid func(uint32) bool) (hops [][]byte, dropped bool, err error) {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return nil, false, errShort
		}
		hop := slices.Clone(b[:n])
		b = b[min(align(n), len(b)):]
		if hop[2]&unix.RTNH_F_DEAD != 0 {
			continue
		}
		if avoid(binary.NativeEndian.Uint32(hop[4:])) {
			dropped = true
			continue
		}
		hop[2] &= unix.RTNH_F_ONLINK
		hops = append(hops, hop)
	}
	return hops, dropped, nil
}

func plainHop(hop []byte) ([]attr, error) {
	attrs, err := parseAttrs(hop[unix.SizeofRtNexthop:])
	return append(attrs, attr{unix.RTA_OIF, hop[4:8]}), err
}

func find(attrs []attr, typ uint16) []byte {
	for _, a := range attrs {
		if a.typ == typ {
			return a.value
		}
	}
	return nil
}

// prefixOf is the prefix of an RTA_DST or RTA_SRC, which is absent for /0.
func prefixOf(family uint8, value []byte, bits uint8) netip.Prefix {
	addr, ok := netip.AddrFromSlice(value)
	if !ok {
		addr = netip.IPv6Unspecified()
		if family == unix.AF_INET {
			addr = netip.IPv4Unspecified()
		}
	}
	return netip.PrefixFrom(addr, int(bits))
}

// message is the body of the message that adds, replaces or deletes the copy of a route.
func message(protocol uint8, c change) []byte {
	b := append(make([]byte, 0, len(c.route.body)+16), c.route.body...)
	b[rtProtocol] = protocol
	b = rtnl.AppendUint32(b, unix.RTA_TABLE, c.table)
	if c.key.metric != 0 {
		b = rtnl.AppendUint32(b, unix.RTA_PRIORITY, c.key.metric)
	}
	return b
}
