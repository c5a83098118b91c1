package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
	"warren/lab/topo"
)

// lookup asks a host's kernel where packets go. It is used by one goroutine at a time.
type lookup struct {
	socket int // netlink
	seq    uint32
	answer [4096]byte
}

func newLookup(h *topo.Host) (*lookup, error) {
	l := &lookup{}
	err := inside(h, func() (err error) {
		l.socket, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("route lookup: socket: %w", err)
	}
	return l, nil
}

func (l *lookup) close() error { return unix.Close(l.socket) }

// way is the index of the interface into which packets to an IPv4 address go, within some microseconds
// (RTM_GETROUTE of rtnetlink(7)).
func (l *lookup) way(to netip.Addr) (uint32, error) {
	l.seq++
	request := make([]byte, rtnl.HeaderLen+unix.SizeofRtMsg)
	request[rtnl.HeaderLen], request[rtnl.HeaderLen+1] = unix.AF_INET, 32
	request = rtnl.AppendAttr(request, unix.RTA_DST, to.AsSlice())
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETROUTE)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(request[8:], l.seq)
	if err := unix.Sendto(l.socket, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("route to %v: send: %w", to, err)
	}
	n, _, err := unix.Recvfrom(l.socket, l.answer[:], 0)
	if err != nil {
		return 0, fmt.Errorf("route to %v: receive: %w", to, err)
	}
	for h, payload := range rtnl.Messages(l.answer[:n]) {
		switch {
		case h.Seq != l.seq:
		case h.Type == unix.NLMSG_ERROR && len(payload) >= 4:
			return 0, fmt.Errorf("route to %v: %w", to, syscall.Errno(-int32(binary.NativeEndian.Uint32(payload))))
		case h.Type == unix.RTM_NEWROUTE && len(payload) >= unix.SizeofRtMsg:
			for typ, v := range rtnl.Attributes(payload[unix.SizeofRtMsg:]) {
				if typ == unix.RTA_OIF && len(v) == 4 {
					return binary.NativeEndian.Uint32(v), nil
				}
			}
		}
	}
	return 0, fmt.Errorf("route to %v: no interface in the answer", to)
}
