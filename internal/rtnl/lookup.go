package rtnl

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Lookup asks how a packet of this machine would leave. Only To must be valid; what is zero does
// not count.
type Lookup struct {
	From, To         netip.Addr // of one family, without zones
	Index            uint32     // of the interface that the socket is bound to
	Mark             uint32     // of the socket
	IPProto          uint8      // unix.IPPROTO_TCP, …
	FromPort, ToPort uint16

	// Routed asks for the route that matches. Of a bound socket IPv4 takes a destination that no
	// route leads to for a neighbor (net/ipv4/route.c, ip_route_output_key_hash_rcu); that is an
	// error then.
	Routed bool
}

// Way is how a packet leaves.
type Way struct {
	Index   uint32     // of the interface
	Gateway netip.Addr // invalid: none
	Source  netip.Addr // that the kernel chooses; invalid: that of the request

	MTU     int  // of the route, in bytes; 0: that of the interface
	Learned bool // an ICMP error has said so, and it will be forgotten
}

// Lookup looks a way up. An Answer with an Errno other than 0 says why there is none.
func (c *Conn) Lookup(l Lookup) (w Way, a Answer, err error) {
	c.seq++
	req := appendHeader(make([]byte, 0, 128), unix.RTM_GETROUTE, 0, c.seq, 0)
	req = finish(l.append(req), 0)
	if err := unix.Sendto(c.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return w, a, fmt.Errorf("send to the kernel: %w", err)
	}
	for {
		b, err := c.receive()
		if err != nil {
			return w, a, err
		}
		for h, payload := range Messages(b) {
			switch {
			case h.Seq != c.seq:
			case h.Type == unix.NLMSG_ERROR:
				return w, parseAnswer(h, payload), nil
			case h.Type == unix.RTM_NEWROUTE:
				w, ok := parseWay(payload)
				if !ok {
					return w, Answer{Errno: syscall.EHOSTUNREACH}, nil
				}
				return w, a, nil
			}
		}
	}
}

func (l Lookup) append(b []byte) []byte {
	m := [unix.SizeofRtMsg]byte{0: family(netip.PrefixFrom(l.To, 0)), 1: uint8(l.To.BitLen())}
	if l.From.IsValid() {
		m[2] = uint8(l.From.BitLen())
	}
	if l.Routed {
		binary.NativeEndian.PutUint32(m[8:], unix.RTM_F_FIB_MATCH)
	}
	b = AppendAttr(append(b, m[:]...), unix.RTA_DST, l.To.AsSlice())
	if l.From.IsValid() {
		b = AppendAttr(b, unix.RTA_SRC, l.From.AsSlice())
	}
	if l.Index != 0 {
		b = AppendUint32(b, unix.RTA_OIF, l.Index)
	}
	if l.Mark != 0 {
		b = AppendUint32(b, unix.RTA_MARK, l.Mark)
	}
	if l.IPProto != 0 {
		b = AppendAttr(b, unix.RTA_IP_PROTO, []byte{l.IPProto})
	}
	for typ, port := range map[uint16]uint16{unix.RTA_SPORT: l.FromPort, unix.RTA_DPORT: l.ToPort} {
		if port != 0 {
			b = AppendAttr(b, typ, binary.BigEndian.AppendUint16(nil, port))
		}
	}
	return b
}

// parseWay reads the answer to a lookup. ok is false for a route that leads nowhere.
func parseWay(b []byte) (w Way, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return w, false
	}
	for typ, v := range Attributes(b[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_OIF:
			w.Index = attrUint32(v)
		case unix.RTA_GATEWAY:
			w.Gateway, _ = netip.AddrFromSlice(v)
		case unix.RTA_VIA: // struct rtvia: the family, then an address of it
			if len(v) > 2 {
				w.Gateway, _ = netip.AddrFromSlice(v[2:])
			}
		case unix.RTA_PREFSRC:
			w.Source, _ = netip.AddrFromSlice(v)
		case unix.RTA_METRICS:
			for metric, v := range Attributes(v) {
				if metric == unix.RTAX_MTU {
					w.MTU = int(attrUint32(v))
				}
			}
		case unix.RTA_CACHEINFO: // struct rta_cacheinfo; rta_expires is the third of its numbers
			w.Learned = len(v) >= 12 && attrUint32(v[8:12]) != 0
		}
	}
	switch b[7] {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return w, false
	}
	return w, true
}
