package external

import (
	"net/netip"
	"strings"
	"testing"
)

func prefixes(text string) (all []netip.Prefix) {
	for f := range strings.FieldsSeq(text) {
		all = append(all, netip.MustParsePrefix(f))
	}
	return all
}

func TestLocalAddress(t *testing.T) {
	for _, c := range []struct{ have, peer, want string }{
		{"10.8.0.1/24 fe80::1/64", "10.8.0.2", "10.8.0.1"},
		{"10.8.0.1/32", "10.8.0.2", "10.8.0.1"}, // point-to-point
		{"10.8.0.1/16 10.8.0.9/24 192.0.2.1/24", "10.8.0.2", "10.8.0.9"},
		{"10.8.0.1/24 fe80::1/64", "fe80::2", "fe80::1"},
		{"fd00::1/64 fe80::1/64 2001:db8::1/128", "fd00::2", "fd00::1"},
		{"fd00::1/128 fe80::1/64", "fd00::2", "fd00::1"},
		{"fe80::5/128 fd00::1/64", "fe80::2", "fe80::5"},
		{"", "10.8.0.2", "interface tun0 has no IPv4 address (yet)"},
		{"fe80::1/64", "fd00::2", "interface tun0 has no IPv6 address (yet)"},
		{"10.8.0.1/24", "fe80::2", "interface tun0 has no IPv6 link-local address (yet)"},
		{"10.8.0.1/32 10.9.0.1/32", "10.8.0.2", "interface tun0 has 2 addresses that could be"},
		{"fe80::2/64 fe80::e77d:cf0d:74d1:474e/64 10.8.0.1/24", "fe80::1", "interface tun0 has 2 addresses that could be"},
		{"10.8.0.1/24 10.8.0.5/24 10.8.0.9/16", "10.8.0.2", "interface tun0 has 2 addresses that could be"},
		{"10.8.0.9/16 10.8.0.1/24", "10.8.0.2", "10.8.0.1"},
		{"10.8.0.2/24", "10.8.0.2", "peer_address 10.8.0.2 is this router's own"},
	} {
		addr, problem := localAddress("tun0", prefixes(c.have), netip.MustParseAddr(c.peer))
		got := problem
		if addr.IsValid() {
			got = addr.String()
		}
		if !strings.HasPrefix(got, c.want) || addr.IsValid() && problem != "" {
			t.Errorf("%q towards %s: %s, want %s", c.have, c.peer, got, c.want)
		}
	}
}
