package engine

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"warren/bgp/judge"
)

// What cannot come is said where import names it, and only there.
func TestMissingFamilies(t *testing.T) {
	four, six := netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("2001:db8:2::/48")
	both := Policy{Prefixes: []Filter{{Prefix: four, Ge: 16, Le: 24}, {Prefix: six, Ge: 48, Le: 64}}}
	const any = "no IPv4 prefixes come: the peer sends none with an IPv6 next hop (RFC 8950)"
	for name, c := range map[string]struct {
		open    judge.Open
		imports Policy
		age     time.Duration
		hop     string // of IPv4
		want    string
	}{
		"both families":       {judge.Open{IPv4: true, IPv6: true, NextHopIPv6: true}, both, time.Hour, "", ""},
		"no IPv4":             {judge.Open{IPv6: true}, both, time.Hour, "", "IPv4 prefixes cannot come: the peer does not offer the family"},
		"no IPv6":             {judge.Open{IPv4: true, NextHopIPv6: true}, both, time.Hour, "", "IPv6 prefixes cannot come: the peer does not offer the family"},
		"no filters for IPv4": {judge.Open{IPv6: true}, Policy{Any: true, Prefixes: both.Prefixes[1:]}, time.Hour, "", ""},
		"no RFC 8950":         {judge.Open{IPv4: true, IPv6: true}, both, time.Hour, "", any},
		"just established":    {judge.Open{IPv4: true, IPv6: true}, both, time.Second, "", ""},
		"IPv4 in the tunnel":  {judge.Open{IPv4: true, IPv6: true}, both, time.Hour, "10.179.0.1", ""},
	} {
		n := &neighbor{Neighbor: Neighbor{LocalAddr: netip.MustParseAddr("fd00::1"), PeerAddr: netip.MustParseAddr("fd00::2"), Import: c.imports}}
		if c.hop != "" {
			n.otherHop = netip.MustParseAddr(c.hop)
		}
		now := time.Now()
		n.session.since = now.Add(-c.age)
		if text := n.missing(now); text != "" {
			t.Errorf("%s: before the OPEN: %s", name, text)
		}
		n.setOpen(c.open)
		if text := n.missing(now); !strings.HasPrefix(text, c.want) || c.want == "" && text != "" {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

// Packets that vanish are told from a peer without BGP, which refuses.
func TestUnansweredIsTold(t *testing.T) {
	s := &Speaker{port: 179}
	n := &neighbor{Neighbor: Neighbor{PeerAddr: netip.MustParseAddr("fd00::2")}, hold: &hold{}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "is BGP running at the peer"},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "no answer from fd00::2 on TCP port 179, not even a refusal: do firewalls at both ends let it through inside the tunnel, and does the peer have that address?"},
		{&net.OpError{Op: "dial", Err: context.Canceled}, "not even a refusal"}, // as it was
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "is BGP running at the peer"},
	} {
		s.noteDial(n, c.err)
		if text := s.problemLocked(n, nil); !strings.Contains(text, c.want) {
			t.Errorf("%v: %q, want %q", c.err, text, c.want)
		}
	}
	n.Network = []netip.Prefix{netip.MustParsePrefix("fd00::1/64")}
	s.noteDial(n, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded})
	if text := s.problemLocked(n, nil); !strings.Contains(text, "do both ends have the same password and ttl_security?") || strings.Contains(text, "tunnel") {
		t.Errorf("on a network: %q", text)
	}
}
