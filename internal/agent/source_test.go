package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"warren/internal/link"
)

// hostsOf makes addresses of "interface address/bits" lines.
func hostsOf(lines ...string) (hosts []link.Host) {
	for _, line := range lines {
		name, text, _ := strings.Cut(line, " ")
		p := netip.MustParsePrefix(text)
		hosts = append(hosts, link.Host{Interface: name, Addr: p.Addr(), Subnet: p.Masked()})
	}
	return hosts
}

func TestChooseSources(t *testing.T) {
	const wan, lan = "wan0 198.51.100.2/30", "lan0 10.1.0.1/24"
	for _, tt := range []struct {
		name            string
		hosts           []string
		networks, found string
		gateways        string
		want4, want6    string
	}{
		{name: "inside a network", hosts: []string{wan, lan, "lan0 2001:db8:1::1/64", "wan0 2001:db8:f::2/64"},
			networks: "10.1.0.0/16 2001:db8:1::/48", want4: "10.1.0.1", want6: "2001:db8:1::1"},
		{name: "none inside", hosts: []string{wan, "lan0 10.9.0.1/24"}, networks: "10.1.0.0/16"},
		{name: "one family", hosts: []string{lan, "wan0 2001:db8:f::2/64"}, networks: "10.1.0.0/24 2001:db8:1::/48", want4: "10.1.0.1"},
		{name: "the lowest", hosts: []string{"lan1 10.1.9.1/24", "lan0 10.1.0.9/24", "lan0 10.1.0.2/24"}, networks: "10.1.0.0/16", want4: "10.1.0.2"},
		{name: "announced by redistribution", hosts: []string{wan, lan}, found: "10.1.0.0/24", want4: "10.1.0.1"},
		{name: "named before redistributed", hosts: []string{"lan0 10.0.0.1/24", "lan1 10.1.0.1/24"}, networks: "10.1.0.0/16", found: "10.0.0.0/24 10.1.0.0/24",
			want4: "10.1.0.1"},
		{name: "a default route and its halves are no home", hosts: []string{wan, "wan0 2001:db8:f::2/64"},
			networks: "0.0.0.0/0 128.0.0.0/1 ::/0 2000::/3"},
		{name: "the underlay inside an aggregate", hosts: []string{"wan0 10.0.0.5/24", lan}, networks: "10.0.0.0/8", gateways: "10.0.0.1", want4: "10.1.0.1"},
		{name: "rather the underlay's than none", hosts: []string{"wan0 10.0.0.5/24"}, networks: "10.0.0.0/8", gateways: "10.0.0.1", want4: "10.0.0.5"},
		{name: "the whole subnet inside", hosts: []string{"wan0 10.1.0.1/8", "lan0 10.1.7.1/24"}, networks: "10.1.0.0/16", want4: "10.1.7.1"},
		{name: "the LAN's own network inside an aggregate", hosts: []string{"dmz0 10.0.1.1/24", "lan0 10.1.0.1/24"}, networks: "10.0.0.0/8 10.1.0.0/24", want4: "10.1.0.1"},
		{name: "a loopback address", hosts: []string{wan, "lo 10.1.255.1/32"}, networks: "10.1.0.0/16", want4: "10.1.255.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var gateways []netip.Addr
			for _, g := range strings.Fields(tt.gateways) {
				gateways = append(gateways, netip.MustParseAddr(g))
			}
			networks := netips(tt.networks)
			own := announced(networks, netips(tt.found))
			hosts := hostsOf(tt.hosts...)
			for range 2 {
				got := chooseSources(hosts, networks, own, gateways)
				if addrText(got.v4) != tt.want4 || addrText(got.v6) != tt.want6 {
					t.Errorf("%q and %q, want %q and %q", addrText(got.v4), addrText(got.v6), tt.want4, tt.want6)
				}
				slices.Reverse(hosts) // the order of addresses has no meaning
			}
		})
	}
}

func TestSourceFollowsAddresses(t *testing.T) {
	cfg := router(peerConfig("b", 0))
	cfg.Announce.Networks = netips("10.1.0.0/16 2001:db8:1::/48")
	w := newWorld(t, cfg)
	changed := func(lines ...string) (sources, []string) {
		w.locals.hosts = hostsOf(lines...)
		w.announce()
		var hints []string
		for _, h := range w.status().Router.Hints {
			family, _, _ := strings.Cut(strings.TrimPrefix(h.Text, "this router has no "), " ")
			hints = append(hints, family)
		}
		return w.routes.sources, hints
	}
	a4, a6 := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("2001:db8:1::1")
	b4 := netip.MustParseAddr("10.1.0.2")

	got, hints := changed("wan0 198.51.100.2/30", "if-b 10.1.0.0/31", "lan0 10.1.0.1/24", "lan0 2001:db8:1::1/64")
	if got != (sources{a4, a6}) || len(hints) != 0 {
		t.Errorf("%v, hints %v; want the LAN's addresses, not the tunnel's", got, hints)
	}
	if s := w.status().Router.Source; s.IPv4 != "10.1.0.1" || s.IPv6 != "2001:db8:1::1" {
		t.Errorf("status %+v", s)
	}
	got, hints = changed("lan0 10.1.0.2/24")
	if got != (sources{v4: b4}) || !slices.Equal(hints, []string{"IPv6"}) {
		t.Errorf("%v, hints %v; want the address that came and a hint for IPv6", got, hints)
	}

	// What is configured holds, for its family.
	cfg.FIB.Source6 = netip.MustParseAddr("2001:db8:1::99")
	got, hints = changed("lan0 10.1.0.2/24", "lan0 2001:db8:1::1/64")
	if s := w.status().Router.Source; s.IPv4 != "10.1.0.2" || s.IPv6 != "2001:db8:1::99" || len(hints) != 0 {
		t.Errorf("%v, status %+v, hints %v; want the configured source", got, s, hints)
	}
}
