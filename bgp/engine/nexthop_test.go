package engine

import (
	"net/netip"
	"testing"
)

// TestOtherNextHop lists which of the interface's addresses is taken for the
// family that the session's is not of.
func TestOtherNextHop(t *testing.T) {
	four, six, id := netip.MustParseAddr("10.179.0.1"), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("10.0.0.1")
	if hop := otherNextHop(nil, four, id, true); hop.IsValid() {
		t.Errorf("on a network with others: %s", hop)
	}
	var addrs []netip.Prefix
	for _, tt := range []struct{ add, four, six string }{
		{"fd00::1/128", "fe80::5efe:a00:1", "invalid IP"},
		{"fe80::7/64", "fe80::7", "invalid IP"},
		{"fd00:179::1/127", "fd00:179::1", "invalid IP"},
		{"10.179.0.1/32", "fd00:179::1", "10.179.0.1"},
	} {
		addrs = append(addrs, netip.MustParsePrefix(tt.add))
		if hop := otherNextHop(addrs, four, id, false); hop.String() != tt.four {
			t.Errorf("with %s: %s for a session over IPv4", tt.add, hop)
		}
		if hop := otherNextHop(addrs, six, id, false); hop.String() != tt.six {
			t.Errorf("with %s: %s for a session over IPv6", tt.add, hop)
		}
	}
}
