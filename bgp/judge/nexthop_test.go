package judge

import (
	"net/netip"
	"strings"
	"testing"
)

// TestNextHop: the next hop of a route that was handed on can be had, in whichever attribute
// it came.
func TestNextHop(t *testing.T) {
	s := setup{}.establish(t)
	for p, want := range map[string]string{"10.60.0.0/24": hopAddr(t), "2001:db8:60::/48": "2001:db8::1", "10.61.0.0/24": "invalid IP"} {
		if hop, ok := s.NextHop(netip.MustParsePrefix(p)); hop.String() != want || ok != (want != "invalid IP") {
			t.Errorf("%s via %v, want %s", p, hop, want)
		}
	}
}

// hopAddr is the address in hop.
func hopAddr(t *testing.T) string {
	t.Helper()
	b := unhex(hop)
	return netip.AddrFrom4([4]byte(b[len(b)-4:])).String()
}

// TestOnLink: a route with a next hop elsewhere is of no use, in either attribute.
func TestOnLink(t *testing.T) {
	u := setup{plain: true}
	cfg := u.config()
	cfg.OnLink = func(a netip.Addr) bool { return a == netip.MustParseAddr("2001:db8::1") }
	s := New(cfg)
	ours, peers := u.opens()
	s.ToPeer(nil, appendOpen(nil, &ours))
	stream := append(appendOpen(nil, &peers), frame(typeKeepalive, nil)...)
	stream = append(stream, updateMessage(nil, unhex(origin+path+reach6), nil)...)
	stream = append(stream, updateMessage(nil, unhex(origin+path+hop), unhex("080a"))...)
	if _, err := s.FromPeer(nil, stream); err != nil {
		t.Fatal(err)
	}
	c := s.Counts()
	if c.Families[IPv6].Accepted != 1 || c.Families[IPv4].Accepted != 0 || c.Withdrawn != 1 || !strings.Contains(c.Last, "is not on the network of the session") {
		t.Errorf("counts %+v", c)
	}
}
