package link

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

func TestHosts(t *testing.T) {
	addr := func(index uint32, text string, flags uint32, scope uint8) address {
		return addressOf(rtnl.Address{Index: index, Prefix: netip.MustParsePrefix(text), Flags: flags, Scope: scope})
	}
	s := &snapshot{
		interfaces: map[int]iface{1: {name: "lan0", up: true}, 2: {name: "down0"}, 3: {name: "vrf0", up: true, vrf: true}},
		addresses: []address{
			addr(1, "10.1.0.1/24", unix.IFA_F_PERMANENT, 0),
			addr(1, "10.1.0.2/24", unix.IFA_F_SECONDARY, 0), // a second one of the subnet, which lasts
			addr(1, "10.1.0.3/24", unix.IFA_F_DEPRECATED, 0),
			addr(1, "192.0.0.8/32", 0, unix.RT_SCOPE_HOST),
			addr(2, "10.2.0.1/24", 0, 0),
			addr(3, "10.3.0.1/24", 0, 0),
			addr(1, "2001:db8:1::1/64", unix.IFA_F_PERMANENT, 0),
			addr(1, "2001:db8:1::2/64", unix.IFA_F_TENTATIVE, 0),
			addr(1, "2001:db8:1::3/64", unix.IFA_F_TEMPORARY, 0),
			addr(1, "2001:db8:1::4/64", unix.IFA_F_DEPRECATED, 0),
		},
	}
	var got []string
	for _, h := range s.hosts() {
		got = append(got, netip.PrefixFrom(h.Addr, h.Subnet.Bits()).String()+" "+h.Interface)
	}
	want := []string{"10.1.0.1/24 lan0", "10.1.0.2/24 lan0", "2001:db8:1::1/64 lan0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
