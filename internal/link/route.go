package link

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
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
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s.routes}}
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Table: unix.RT_TABLE_MAIN}})
	var parseErr error
	gateways := make(map[netip.Addr]bool)
	err := req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE, func(m []byte) bool {
		if len(m) < unix.SizeofRtMsg {
			return true
		}
		msg := nl.DeserializeRtMsg(m)
		if msg.Family != family || msg.Table != unix.RT_TABLE_MAIN || msg.Flags&unix.RTM_F_CLONED != 0 ||
			msg.Protocol <= unix.RTPROT_KERNEL || slices.Contains(s.owned, int(msg.Protocol)) {
			return true
		}
		r, hops, err := parseRoute(msg, m[unix.SizeofRtMsg:])
		if err != nil {
			parseErr = err
			return true
		}
		for _, h := range hops {
			if g := h.gateway; g.IsValid() && !g.IsLinkLocalUnicast() {
				gateways[g] = true
			}
		}
		if announceable(r.prefix) {
			snap.routes = append(snap.routes, r)
		}
		return true
	})
	snap.gateways = slices.AppendSeq(snap.gateways, maps.Keys(gateways))
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return nil // no such table yet, or no IPv6
	case err != nil:
		return err
	}
	return parseErr
}

func parseRoute(msg *nl.RtMsg, b []byte) (r localRoute, hops []hop, err error) {
	r = localRoute{protocol: msg.Protocol, typ: msg.Type}
	dst := netip.IPv4Unspecified()
	if msg.Family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return r, nil, fmt.Errorf("parse a route: %w", err)
	}
	only := parseHop(attrs)
	hops = []hop{only}
	r.gateway = only.gateway.IsValid()
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_MULTIPATH:
			r.gateway = true
			hops = parseHops(a.Value)
		}
	}
	for i, h := range hops[:min(len(hops), maxHops)] {
		r.indexes[i] = h.index
	}
	r.prefix = netip.PrefixFrom(dst, int(msg.Dst_len))
	return r, hops, nil
}

// parseHop reads the attributes that say where a route leads.
func parseHop(attrs []syscall.NetlinkRouteAttr) (h hop) {
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.RTA_GATEWAY:
			h.gateway, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_VIA: // struct rtvia: the family, then an address of it
			if len(a.Value) > 2 {
				h.gateway, _ = netip.AddrFromSlice(a.Value[2:])
			}
		case unix.RTA_OIF:
			if len(a.Value) >= 4 {
				h.index = int(nl.NativeEndian().Uint32(a.Value))
			}
		}
	}
	return h
}

// parseHops reads a list of struct rtnexthop, each with attributes behind it.
func parseHops(b []byte) (hops []hop) {
	for len(b) >= unix.SizeofRtNexthop {
		head := nl.DeserializeRtNexthop(b)
		size := int(head.RtNexthop.Len)
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		var h hop
		if attrs, err := nl.ParseRouteAttr(b[unix.SizeofRtNexthop:size]); err == nil {
			h = parseHop(attrs)
		}
		h.index = int(head.Ifindex)
		hops = append(hops, h)
		b = b[min((size+3)&^3, len(b)):]
	}
	return hops
}
