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
	for typ, v := range Attributes(b[unix.SizeofIfInfomsg:]) {
		if typ == unix.IFLA_IFNAME {
			l.Name = unix.ByteSliceToString(v)
		}
	}
	return l, l.Name != ""
}

// LinkRequest is the body of a dump of the links without their statistics.
func LinkRequest() []byte {
	return AppendUint32(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_EXT_MASK, rtextFilterSkipStats)
}

// ParseAddr reads interface and address of RTM_NEWADDR or RTM_DELADDR.
func ParseAddr(b []byte) (index uint32, addr netip.Addr, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return 0, addr, false
	}
	index = binary.NativeEndian.Uint32(b[4:])
	for typ, v := range Attributes(b[unix.SizeofIfAddrmsg:]) {
		// IFA_LOCAL wins: on a point-to-point link IFA_ADDRESS is the far end.
		if typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS && !addr.IsValid() {
			addr, _ = netip.AddrFromSlice(v)
		}
	}
	return index, addr, addr.IsValid()
}
