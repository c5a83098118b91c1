package link

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Segments are how many TCP segments a connection has taken and sent, acknowledgments and repeated ones
// included (tcp_info, tcpi_segs_in and tcpi_segs_out).
type Segments struct{ In, Out uint64 }

// SegmentsBetween returns those of the connections between two addresses, of which port is a port at one
// end; zones count for nothing. It costs as much as the host has connections (sock_diag(7)).
func SegmentsBetween(pairs [][2]netip.Addr, port uint16) ([]Segments, error) {
	all := make([]Segments, len(pairs))
	at := map[[2]netip.Addr]int{}
	families := map[uint8]bool{}
	for i, p := range pairs {
		at[[2]netip.Addr{p[0].Unmap().WithZone(""), p[1].Unmap().WithZone("")}] = i
		families[unix.AF_INET6] = families[unix.AF_INET6] || !p[0].Unmap().Is4()
		families[unix.AF_INET] = families[unix.AF_INET] || p[0].Unmap().Is4()
	}
	for family, some := range families {
		if !some {
			continue
		}
		sockets, err := netlink.SocketDiagTCPInfo(family)
		if err != nil {
			return nil, fmt.Errorf("link: look at TCP connections: %w", err)
		}
		for _, s := range sockets {
			id := s.InetDiagMsg.ID
			i, ok := at[[2]netip.Addr{addrOf(id.Source), addrOf(id.Destination)}]
			if !ok || s.TCPInfo == nil || id.SourcePort != port && id.DestinationPort != port {
				continue
			}
			all[i].In += uint64(s.TCPInfo.Segs_in)
			all[i].Out += uint64(s.TCPInfo.Segs_out)
		}
	}
	return all, nil
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
