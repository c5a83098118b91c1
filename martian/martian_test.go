package martian

import (
	"net/netip"
	"testing"
)

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		"0.0.0.0/0": false, "::/0": false, // the default routes
		"0.0.0.0/8": true, "0.1.0.0/16": true, "0.0.0.0/7": false,
		"127.0.0.1/32": true, "126.0.0.0/7": false,
		"169.254.1.0/24": true, "169.254.0.0/15": false,
		"192.0.0.8/32": true, "192.0.0.0/24": false, "192.0.0.9/32": false,
		"224.0.0.0/4": true, "224.0.0.0/3": false, "255.255.255.255/32": true,
		"::1/128": true, "::ffff:10.0.0.0/104": true, "100::/64": false,
		"::/16": true, "::/128": true, "::10.0.0.0/104": true, "0:0:1::/48": true, "::/15": false,
		"64:ff9b::/96": false, "64:ff9b::a01:0/112": false, "64:ff9b:1::/48": false,
		"fe80::/10": true, "fe80::1/128": true, "fec0::/10": false, "ff02::1/128": true,
		"10.0.0.0/8": false, "100.64.0.0/10": false, "192.0.2.0/24": false,
		"fd00::/8": false, "2001:db8::/32": false,
	} {
		if got := Is(netip.MustParsePrefix(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestPrefixesAreTheCallers(t *testing.T) {
	Prefixes()[0] = netip.Prefix{}
	for _, p := range Prefixes() {
		if m, ok := Covering(p); !ok || m != p {
			t.Errorf("%s is covered by %s, %v", p, m, ok)
		}
	}
}
