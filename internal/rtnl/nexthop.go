package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// NextHop is a next-hop object of the kernel (Linux 5.3 and later): either one
// interface, or a group of such objects.
type NextHop struct {
	ID       uint32
	Family   uint8 // of the routes that may use it: AF_INET or AF_INET6; of a group AF_UNSPEC
	Protocol uint8
	Index    uint32   // of the interface; 0: it is a group
	Group    []Member // of a group, in the kernel's order
	Odd      bool     // it has what the other fields cannot say: a gateway, an encapsulation, …
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
