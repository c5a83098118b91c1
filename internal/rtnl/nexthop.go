package rtnl

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// NextHop is a next-hop object of the kernel (Linux 5.3 and later): either one
// interface, with a gateway on it or not, or a group of such objects.
type NextHop struct {
	ID       uint32
	Family   uint8 // of the gateway, else of the routes that may use it: AF_INET or AF_INET6; of a group AF_UNSPEC
	Protocol uint8
	Index    uint32     // of the interface; 0: it is a group
	Gateway  netip.Addr // without a zone; IPv4 routes may use an IPv6 one
	Group    []Member   // of a group, in the kernel's order
	Odd      bool       // it has what fib does not write: an encapsulation, …
}

// Member is an object's share in a group.
type Member struct {
	ID     uint32
	Weight int // 1 to 256
}

// Attributes of include/uapi/linux/nexthop.h, missing in x/sys.
const (
	nhmsgLen  = 8 // struct nhmsg
	memberLen = 8 // struct nexthop_grp

	nhaID        = 1
	nhaGroup     = 2
	nhaGroupType = 3
	nhaOIF       = 5
	nhaGateway   = 6
	nhaOpFlags   = 14
)

// AppendNextHop appends an RTM_NEWNEXTHOP or RTM_DELNEXTHOP message to b. A removal
// needs the ID alone.
func AppendNextHop(b []byte, typ, flags uint16, seq uint32, n NextHop) []byte {
	start := len(b)
	b = appendHeader(b, typ, flags, seq, nhmsgLen)
	if typ == unix.RTM_DELNEXTHOP {
		return finish(AppendUint32(b, nhaID, n.ID), start)
	}
	b[start+HeaderLen], b[start+HeaderLen+2] = n.Family, n.Protocol
	b = AppendUint32(b, nhaID, n.ID)
	if n.Index != 0 {
		b = AppendUint32(b, nhaOIF, n.Index)
	}
	if n.Gateway.IsValid() {
		b = AppendAttr(b, nhaGateway, n.Gateway.AsSlice())
	}
	if n.Group != nil {
		group := make([]byte, 0, memberLen*len(n.Group))
		for _, m := range n.Group {
			group = binary.NativeEndian.AppendUint32(group, m.ID)
			group = append(group, uint8(m.Weight-1), 0, 0, 0)
		}
		b = AppendAttr(b, nhaGroup, group)
	}
	return finish(b, start)
}

// ParseNextHop reads the payload of RTM_NEWNEXTHOP or RTM_DELNEXTHOP.
func ParseNextHop(b []byte) (n NextHop, ok bool) {
	if len(b) < nhmsgLen {
		return n, false
	}
	n = NextHop{Family: b[0], Protocol: b[2]}
	for typ, v := range Attributes(b[nhmsgLen:]) {
		switch typ {
		case nhaID:
			n.ID = attrUint32(v)
		case nhaOIF:
			n.Index = attrUint32(v)
		case nhaGroup:
			for ; len(v) >= memberLen; v = v[memberLen:] {
				n.Group = append(n.Group, Member{ID: attrUint32(v), Weight: int(v[4]) + 1})
			}
		case nhaGroupType:
			n.Odd = n.Odd || len(v) < 2 || v[0] != 0 || v[1] != 0 // 0 is multipath
		case nhaGateway:
			n.Gateway = parseGateway(n.Family, v)
			n.Odd = n.Odd || !n.Gateway.IsValid()
		case nhaOpFlags:
		default:
			n.Odd = true
		}
	}
	return n, n.ID != 0
}

// NextHopRequest is the body of a dump of all next-hop objects. The kernel's answer is
// EOPNOTSUPP where it has none.
func NextHopRequest() []byte { return make([]byte, nhmsgLen) }

// NextHops returns the kernel's next-hop objects by number; none where it has no such
// things.
func (c *Conn) NextHops() (map[uint32]NextHop, error) {
	all := map[uint32]NextHop{}
	_, err := c.Dump(unix.RTM_GETNEXTHOP, NextHopRequest(), func(_ uint16, b []byte) {
		if n, ok := ParseNextHop(b); ok {
			all[n.ID] = n
		}
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return all, nil
	}
	return all, err
}

// Spell returns the payload of a route message with the ways of its next-hop object spelled
// out behind, as the kernel does it by itself unless net.ipv4.nexthop_compat_mode is 0.
// Others are returned as they are.
func Spell(m []byte, objects map[uint32]NextHop) []byte {
	if len(m) < unix.SizeofRtMsg {
		return m
	}
	var id uint32
	for typ, v := range Attributes(m[unix.SizeofRtMsg:]) {
		switch typ {
		case rtaNHID:
			id = attrUint32(v)
		case unix.RTA_OIF, unix.RTA_MULTIPATH:
			return m
		}
	}
	n, known := objects[id]
	if id == 0 || !known {
		return m
	}
	b := append(make([]byte, 0, len(m)+64), m...)
	if n.Index != 0 {
		return AppendUint32(appendGateway(b, m[0], n.Gateway), unix.RTA_OIF, n.Index)
	}
	var hops []byte
	for _, member := range n.Group {
		hop := objects[member.ID]
		if hop.Index == 0 {
			continue
		}
		start := len(hops)
		hops = append(hops, 0, 0, 0, uint8(member.Weight-1)) // struct rtnexthop
		hops = binary.NativeEndian.AppendUint32(hops, hop.Index)
		hops = appendGateway(hops, m[0], hop.Gateway)
		binary.NativeEndian.PutUint16(hops[start:], uint16(len(hops)-start))
	}
	if hops == nil {
		return m
	}
	return AppendAttr(b, unix.RTA_MULTIPATH, hops)
}

// Unspelled reports whether a route message names a next-hop object and not its ways.
func Unspelled(m []byte) bool {
	if len(m) < unix.SizeofRtMsg {
		return false
	}
	named := false
	for typ := range Attributes(m[unix.SizeofRtMsg:]) {
		switch typ {
		case rtaNHID:
			named = true
		case unix.RTA_OIF, unix.RTA_MULTIPATH:
			return false
		}
	}
	return named
}
