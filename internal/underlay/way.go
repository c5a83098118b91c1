package underlay

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// leadsThrough reports whether a route message has a way through an interface for which
// is is true.
func leadsThrough(m []byte, is func(ifindex uint32) bool) bool {
	if rtnl.Unspelled(m) {
		return true // it may, by a next-hop object
	}
	attrs, err := parseAttrs(m[unix.SizeofRtMsg:])
	if err != nil {
		return false
	}
	if v := find(attrs, unix.RTA_OIF); len(v) >= 4 && is(binary.NativeEndian.Uint32(v)) {
		return true
	}
	_, dropped, err := usableHops(find(attrs, unix.RTA_MULTIPATH), is)
	return err == nil && dropped
}

// onLink is the route with gateways that the kernel takes for reachable by their
// interface. It looks for the way to an IPv6 gateway in the route's table and then by the
// rules for other packets, which may lead to this very route (net/ipv6/route.c,
// ip6_route_check_nh). The copy of table main holds the ways to its gateways, those of
// other tables need this.
func (r route) onLink() route {
	head := []byte(r.body[:unix.SizeofRtMsg])
	attrs, err := parseAttrs([]byte(r.body[unix.SizeofRtMsg:]))
	if err != nil || head[rtFamily] != unix.AF_INET6 {
		return r
	}
	if needsLink(attrs) {
		binary.NativeEndian.PutUint32(head[rtFlags:], unix.RTNH_F_ONLINK) // the only flag of a body
	}
	for i, a := range attrs {
		if a.typ != unix.RTA_MULTIPATH {
			continue
		}
		hops, _, err := usableHops(a.value, func(uint32) bool { return false })
		for _, hop := range hops {
			if more, err := parseAttrs(hop[unix.SizeofRtNexthop:]); err == nil && needsLink(more) {
				hop[2] |= unix.RTNH_F_ONLINK
			}
		}
		if err == nil {
			attrs[i].value = bytes.Join(hops, nil)
		}
	}
	body := head
	for _, a := range attrs {
		body = rtnl.AppendAttr(body, a.typ, a.value)
	}
	r.body = string(body)
	return r
}

// needsLink reports whether a next hop has a gateway that is not link-local.
func needsLink(attrs []attr) bool {
	gateway, ok := netip.AddrFromSlice(find(attrs, unix.RTA_GATEWAY))
	return ok && !gateway.IsLinkLocalUnicast()
}
