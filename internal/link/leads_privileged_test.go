//go:build privileged

package link

import (
	"net/netip"
	"syscall"
	"testing"

	"warren/internal/netns"
)

// The kernel says which route it takes, whose it is and where it leads, and why it takes none.
func TestLeadsTo(t *testing.T) {
	netns.Test(t)
	for _, args := range []string{
		"link set lo up", "link add d0 type veth peer name d1", "link set d1 up", "addr add 10.0.0.1/24 dev d0", "link set d0 up",
		"route add 10.2.0.0/16 via 10.0.0.9 proto 186 metric 32", "route add 10.3.0.0/16 dev d0 proto static",
		"route add unreachable 10.4.0.0/16", "route add blackhole 10.5.0.0/16", "route add prohibit 10.6.0.0/16",
		"nexthop add id 7 dev d0", "route add 10.7.0.0/16 nhid 7 proto 186",
		"-6 addr add 2001:db8::1/64 dev d0 nodad", "-6 route add 2001:db8:2::/48 via 2001:db8::9 proto bird",
	} {
		ip(t, args)
	}
	for to, want := range map[string]Leads{
		"10.2.3.4":       {Prefix: netip.MustParsePrefix("10.2.0.0/16"), Table: 254, Metric: 32, Protocol: 186, Type: 1, Interface: "d0", Gateway: netip.MustParseAddr("10.0.0.9")},
		"10.3.3.4":       {Prefix: netip.MustParsePrefix("10.3.0.0/16"), Table: 254, Protocol: 4, Type: 1, Interface: "d0"},
		"10.7.3.4":       {Prefix: netip.MustParsePrefix("10.7.0.0/16"), Table: 254, Protocol: 186, Type: 1, Interface: "d0"},
		"10.0.0.7":       {Prefix: netip.MustParsePrefix("10.0.0.0/24"), Table: 254, Protocol: 2, Type: 1, Interface: "d0"},
		"10.4.0.1":       {Errno: syscall.EHOSTUNREACH},
		"10.5.0.1":       {Errno: syscall.EINVAL},
		"10.6.0.1":       {Errno: syscall.EACCES},
		"192.0.2.1":      {Errno: syscall.ENETUNREACH},
		"2001:db8:2::1":  {Prefix: netip.MustParsePrefix("2001:db8:2::/48"), Table: 254, Metric: 1024, Protocol: 12, Type: 1, Interface: "d0", Gateway: netip.MustParseAddr("2001:db8::9")},
		"2001:db8:99::1": {Errno: syscall.ENETUNREACH},
	} {
		got, err := LeadsTo(netip.MustParseAddr(to))
		if err != nil || got != want {
			t.Errorf("%s leads by %+v, %v; want %+v", to, got, err, want)
		}
	}
}
