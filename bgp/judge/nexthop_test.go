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

// TestMappedNextHop: on a network with others an IPv4-mapped next hop is no gateway, whether its IPv4 address
// is on the network or not, for prefixes of either family. Of two next hops the other one may be.
func TestMappedNextHop(t *testing.T) {
	const (
		mapped = "00000000000000000000ffff0a090102"
		local  = "fe800000000000000000000000000001"
	)
	for hops, want := range map[string]string{
		"10" + mapped: "", "20" + mapped + mapped: "", "20" + mapped + local: "fe80::1", "20" + hop6 + mapped: "2001:db8::1",
	} {
		for f, nlri := range []string{v4, v6} {
			u := setup{}
			cfg := u.config()
			cfg.OnLink = func(a netip.Addr) bool { return true }
			s, r := New(cfg), u.reader()
			ours, peers := u.opens()
			s.ToPeer(nil, appendOpen(nil, &ours))
			stream := append(appendOpen(nil, &peers), frame(typeKeepalive, nil)...)
			if _, err := s.FromPeer(nil, append(stream, write(f, nil, []netip.Prefix{prefixIn(f, nlri)}, 1)...)); err != nil {
				t.Fatal(err)
			}
			reach := attr(0x80, attrMPReach, [...]string{"0001", "0002"}[f]+"01"+hops+"00"+nlri)
			r.routes = map[netip.Prefix]string{prefixIn(f, nlri): "?"}
			out, err := s.FromPeer(nil, updateMessage(nil, unhex(origin+path+reach), nil))
			r.readAll(t, out)
			hop, ok := s.NextHop(prefixIn(f, nlri))
			c := s.Counts()
			if err != nil || ok != (want != "") || ok && hop.String() != want || len(r.routes) != c.Families[f].Accepted {
				t.Errorf("family %d, next hops %s: %v via %v, %v, want %q", f, hops, r.routes, hop, err, want)
			}
			if !ok && (c.Withdrawn != 1 || !strings.Contains(c.Last, "is an IPv4-mapped address")) {
				t.Errorf("family %d, next hops %s: %+v", f, hops, c)
			}
		}
	}
}

// prefixIn is the one prefix in a field.
func prefixIn(family int, nlri string) netip.Prefix {
	var f field
	f.parse(unhex(nlri), family)
	return f.prefixes[0].netip(family)
}
