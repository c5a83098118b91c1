package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Link is what a link message says.
type Link struct {
	Index   uint32
	Name    string
	Up      bool // administratively: IFF_UP
	Carrier bool // IFF_LOWER_UP or IFF_RUNNING; without, the kernel drops the next-hop objects

	MTU  int // in bytes
	MTU6 int // what IPv6 uses of that, as a router may announce less; 0: not said

	Broadcast, Loopback bool // IFF_BROADCAST: an Ethernet segment or the like
}

const rtextFilterSkipStats = 8 // RTEXT_FILTER_SKIP_STATS, missing in x/sys

// ParseLink reads the payload of RTM_NEWLINK or RTM_DELLINK. ok is false for the
// messages of bridge ports, which share the type.
func ParseLink(b []byte) (l Link, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return l, false
	}
	l.Index = binary.NativeEndian.Uint32(b[4:])
	flags := binary.NativeEndian.Uint32(b[8:])
	l.Up, l.Carrier = flags&unix.IFF_UP != 0, flags&(unix.IFF_LOWER_UP|unix.IFF_RUNNING) != 0
	l.Broadcast, l.Loopback = flags&unix.IFF_BROADCAST != 0, flags&unix.IFF_LOOPBACK != 0
	for typ, v := range Attributes(b[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(v)
		case unix.IFLA_MTU:
			l.MTU = int(attrUint32(v))
		case unix.IFLA_AF_SPEC:
			l.MTU6 = parseMTU6(v)
		}
	}
	return l, l.Name != ""
}

// parseMTU6 reads DEVCONF_MTU6 of IFLA_AF_SPEC (include/uapi/linux/ipv6.h); 0: it is not there.
func parseMTU6(spec []byte) int {
	const mtu6 = 2 * 4 // where it is in the list of 32-bit numbers
	for family, v := range Attributes(spec) {
		if family != unix.AF_INET6 {
			continue
		}
		for typ, conf := range Attributes(v) {
			if typ == unix.IFLA_INET6_CONF && len(conf) >= mtu6+4 {
				return int(attrUint32(conf[mtu6 : mtu6+4]))
			}
		}
	}
	return 0
}

// LinkRequest is the body of a dump of the links without their statistics.
func LinkRequest() []byte {
	return AppendUint32(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_EXT_MASK, rtextFilterSkipStats)
}

// Address is what an address message says.
type Address struct {
	Index  uint32       // of the interface
	Prefix netip.Prefix // the address of this end, with the length of its subnet
	Peer   netip.Addr   // the far end of a point-to-point address, or not valid
	Flags  uint32       // unix.IFA_F_NODAD, …
	Scope  uint8        // unix.RT_SCOPE_HOST, …
}

// ParseAddress reads the payload of RTM_NEWADDR or RTM_DELADDR.
func ParseAddress(b []byte) (a Address, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return a, false
	}
	a.Index, a.Flags, a.Scope = binary.NativeEndian.Uint32(b[4:]), uint32(b[2]), b[3]
	var own, address netip.Addr
	for typ, v := range Attributes(b[unix.SizeofIfAddrmsg:]) {
		switch typ {
		case unix.IFA_LOCAL:
			own, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(v)
		case unix.IFA_FLAGS: // all 32 of them
			if len(v) >= 4 {
				a.Flags = binary.NativeEndian.Uint32(v)
			}
		}
	}
	switch {
	case !own.IsValid():
		own = address
	case address.IsValid() && address != own:
		a.Peer = address
	}
	a.Prefix = netip.PrefixFrom(own, int(b[1]))
	return a, a.Prefix.IsValid()
}

// AddressRequest is the body of a dump of the addresses of one interface, or of all with 0. The kernel leaves
// those of others out itself (Linux 4.20, net/ipv4/devinet.c, inet_valid_dump_ifaddr_req).
func AddressRequest(index uint32) []byte {
	b := make([]byte, unix.SizeofIfAddrmsg)
	binary.NativeEndian.PutUint32(b[4:], index)
	return b
}
