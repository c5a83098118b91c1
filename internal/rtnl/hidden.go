package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Hidden says which events a subscription does not get. The zero Hidden hides none.
type Hidden struct {
	Port      uint32 // those that the requests of the socket with this netlink address cause; 0: none
	Protocols []int  // events of routes of these protocols, 0 to 255, at most 100 of them,
	Table     uint8  // but only in this table; 0: in all
}

// filter is a socket filter. It loads big-endian words (net/core/filter.c).
func (h Hidden) filter() []unix.SockFilter {
	const (
		typeAt     = 4             // nlmsg_type
		portAt     = 12            // nlmsg_pid, in which the kernel repeats who made the request
		tableAt    = HeaderLen + 4 // rtm_table
		protocolAt = HeaderLen + 5 // rtm_protocol
		load32     = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		load16     = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		load8      = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal      = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret        = unix.BPF_RET | unix.BPF_K
	)
	keep, drop := unix.SockFilter{Code: ret, K: 0xffffffff}, unix.SockFilter{Code: ret, K: 0}
	var prog []unix.SockFilter
	if h.Port != 0 {
		port := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, h.Port))
		prog = append(prog, unix.SockFilter{Code: load32, K: portAt}, unix.SockFilter{Code: equal, K: port, Jf: 1}, drop)
	}
	if len(h.Protocols) == 0 {
		return append(prog, keep)
	}
	prog = append(prog,
		unix.SockFilter{Code: load16, K: typeAt},
		unix.SockFilter{Code: equal, K: bigEndian16(unix.RTM_NEWROUTE), Jt: 2},
		unix.SockFilter{Code: equal, K: bigEndian16(unix.RTM_DELROUTE), Jt: 1},
		keep)
	if h.Table != 0 {
		prog = append(prog, unix.SockFilter{Code: load8, K: tableAt}, unix.SockFilter{Code: equal, K: uint32(h.Table), Jt: 1}, keep)
	}
	prog = append(prog, unix.SockFilter{Code: load8, K: protocolAt})
	for _, p := range h.Protocols {
		prog = append(prog, unix.SockFilter{Code: equal, K: uint32(p), Jf: 1}, drop)
	}
	return append(prog, keep)
}

// bigEndian16 is what a filter's load makes of v in the machine's byte order.
func bigEndian16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}
