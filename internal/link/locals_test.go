package link

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	lo = iota + 1
	lan0
	lan1
	wan
	tun
	down     // administratively
	nolink   // up, no carrier
	enslaved // to a VRF
	gone     // not in the snapshot
)

func testSnapshot() *snapshot {
	running := func(name string) iface { return iface{name: name, up: true, running: true} }
	route := func(prefix string, protocol, typ uint8, gateway bool, indexes ...int) localRoute {
		r := localRoute{prefix: netip.MustParsePrefix(prefix), protocol: protocol, typ: typ, gateway: gateway}
		copy(r.indexes[:], indexes)
		return r
	}
	addr := func(index int, subnet string) address {
		return address{index: index, subnet: netip.MustParsePrefix(subnet)}
	}
	s := &snapshot{
		interfaces: map[int]iface{
			lo:   {name: "lo", up: true, running: true, loopback: true},
			lan0: running("lan0"), lan1: running("lan1"), wan: running("wan"), tun: {name: "site-b", up: true, running: true, pointToPoint: true},
			down:     {name: "lan-down"},
			nolink:   {name: "lan-nolink", up: true},
			enslaved: {name: "lan-vrf", up: true, running: true, vrf: true},
		},
		addresses: []address{
			addr(lo, "127.0.0.0/8"), addr(lo, "::1/128"), addr(lo, "10.255.0.1/32"), addr(lo, "2001:db8:ff::1/128"),
			addr(lan0, "10.1.0.0/24"), addr(lan0, "10.1.0.0/24"), addr(lan0, "2001:db8:1::/64"),
			addr(lan0, "fe80::/64"), addr(lan0, "169.254.0.0/16"),
			addr(lan1, "10.2.0.0/24"),
			addr(wan, "198.51.100.0/24"), addr(tun, "fd00::/127"), addr(tun, "10.0.0.0/31"),
			addr(down, "10.3.0.0/24"), addr(nolink, "10.4.0.0/24"), addr(enslaved, "10.5.0.0/24"), addr(gone, "10.6.0.0/24"),
			{index: lan1, subnet: netip.MustParsePrefix("10.7.0.0/24"), noRoute: true},
			{index: lan1, host: netip.MustParseAddr("10.8.0.1"), subnet: netip.MustParsePrefix("10.8.0.0/24"), noRoute: true},
			{index: tun, host: netip.MustParseAddr("10.9.0.1"), subnet: netip.MustParsePrefix("10.9.0.2/32")},
			{index: lan1, host: netip.MustParseAddr("fe80::1"), subnet: netip.MustParsePrefix("fe80::/64")},
			{index: enslaved, host: netip.MustParseAddr("10.5.0.1"), subnet: netip.MustParsePrefix("10.5.0.0/24")},
		},
		routes: []localRoute{
			route("10.8.0.0/24", unix.RTPROT_DHCP, unix.RTN_UNICAST, false, lan1),
			route("172.16.0.0/16", unix.RTPROT_STATIC, unix.RTN_UNICAST, true, lan0),
			route("172.17.0.0/16", unix.RTPROT_BOOT, unix.RTN_UNICAST, true, wan),
			route("172.18.0.0/16", unix.RTPROT_STATIC, unix.RTN_UNICAST, true, wan, lan1),
			route("172.19.0.0/16", unix.RTPROT_STATIC, unix.RTN_UNICAST, false, tun),
			route("172.20.0.0/16", unix.RTPROT_STATIC, unix.RTN_UNICAST, true, nolink),
			route("172.21.0.0/16", unix.RTPROT_STATIC, unix.RTN_LOCAL, false, lan0),
			route("10.0.0.0/8", unix.RTPROT_STATIC, unix.RTN_BLACKHOLE, false),
			route("2001:db8::/32", unix.RTPROT_STATIC, unix.RTN_UNREACHABLE, false, lo),
			route("192.168.0.0/16", unix.RTPROT_OSPF, unix.RTN_UNICAST, true, lan0),
			route("192.168.9.0/24", unix.RTPROT_OSPF, unix.RTN_BLACKHOLE, false),
			route("192.0.2.0/24", unix.RTPROT_DHCP, unix.RTN_UNICAST, true, wan),
			route("203.0.113.1/32", unix.RTPROT_DHCP, unix.RTN_UNICAST, false, wan),
		},
	}
	return s
}

func TestLocals(t *testing.T) {
	const (
		connectedLAN  = "10.1.0.0/24 10.2.0.0/24 10.8.0.0/24 2001:db8:1::/64"
		connectedMost = "10.1.0.0/24 10.2.0.0/24 10.8.0.0/24 198.51.100.0/24 2001:db8:1::/64"
	)
	for _, c := range []struct {
		name  string
		r     Redistribute
		globs string
		want  string
	}{
		{"nothing", Redistribute{}, "", ""},
		{"connected of the LANs", Redistribute{Connected: true}, "lan*", connectedLAN},
		{"connected, one and lo", Redistribute{Connected: true}, "lan1 lo", "10.2.0.0/24 10.8.0.0/24 10.255.0.1/32 2001:db8:ff::1/128"},
		{"connected of all", Redistribute{Connected: true}, "", connectedMost},
		{"tunnels never count", Redistribute{true, true, true}, "site-b", ""},
		{"a bad pattern matches nothing", Redistribute{Connected: true}, "[", ""},
		{"static of the LANs", Redistribute{Static: true}, "lan*", "172.16.0.0/16 172.18.0.0/16"},
		{"static of all", Redistribute{Static: true}, "", "10.0.0.0/8 172.16.0.0/16 172.17.0.0/16 172.18.0.0/16 2001:db8::/32"},
		{"kernel of the LANs", Redistribute{Kernel: true}, "lan*", "10.8.0.0/24 192.168.0.0/16"},
		{"kernel of all", Redistribute{Kernel: true}, "", "10.8.0.0/24 192.0.2.0/24 192.168.0.0/16 203.0.113.1/32"},
		{"each prefix once", Redistribute{Connected: true, Kernel: true}, "lan1", "10.2.0.0/24 10.8.0.0/24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := testSnapshot().locals(c.r, strings.Fields(c.globs), func(n string) bool { return n == "site-b" })
			if want := prefixes(c.want); !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestConnected(t *testing.T) {
	want := prefixes("10.0.0.0/31 10.1.0.0/24 10.2.0.0/24 10.4.0.0/24 10.7.0.0/24 10.8.0.0/24 10.8.0.1/32 10.9.0.1/32 10.9.0.2/32 " +
		"10.255.0.1/32 198.51.100.0/24 203.0.113.1/32 2001:db8:1::/64 2001:db8:ff::1/128 fd00::/127")
	if got := testSnapshot().connected(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAnnounceable(t *testing.T) {
	for p, want := range map[string]bool{
		"0.0.0.0/0": false, "::/0": false, "0.0.0.0/8": false, "127.0.0.1/32": false, "169.254.1.0/24": false,
		"224.0.0.0/4": false, "239.1.0.0/16": false, "255.255.255.255/32": false, "::1/128": false, "::ffff:10.0.0.0/104": false,
		"fe80::/64": false, "febf::/16": false, "ff02::/16": false,
		"0.0.0.0/1": true, "10.0.0.0/8": true, "100.64.0.0/10": true, "192.0.2.0/24": true, "2001:db8::/32": true, "fd00::/8": true,
		"64:ff9b::/96": true, "64:ff9b:1::/48": true,
	} {
		if got := announceable(netip.MustParsePrefix(p)); got != want {
			t.Errorf("announceable(%s) = %v", p, got)
		}
	}
	if announceable(netip.Prefix{}) {
		t.Error("the zero prefix is announceable")
	}
}

func prefixes(s string) (ps []netip.Prefix) {
	for _, f := range strings.Fields(s) {
		ps = append(ps, netip.MustParsePrefix(f))
	}
	return ps
}
