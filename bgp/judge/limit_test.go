package judge

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// TestLimit: over MaxPrefixes a prefix waits, in order of arrival.
func TestLimit(t *testing.T) {
	p := someRoutes(IPv4)
	u := setup{plain: true, policy: &Policy{Accept: acceptAll, MaxPrefixes: 2}}
	s, r := u.establish(t), u.reader()
	r.routes = map[netip.Prefix]string{}
	step := func(withdrawn, announced []netip.Prefix, med uint32, want ...string) {
		t.Helper()
		out, err := s.FromPeer(nil, write(IPv4, withdrawn, announced, med))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.readAll(t, withoutKeepalives(t, out)); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	step(nil, p[:5], 1, "+10.0.0.0/16 4=00000001", "+10.1.0.0/17 4=00000001")
	step(nil, p[2:3], 2) // keeps its place, with other attributes
	step(nil, p[:1], 2, "+10.0.0.0/16 4=00000002")
	step(p[3:4], nil, 0)                                              // it waited
	step(p[:1], p[:1], 2)                                             // nothing new, and no room
	step(p[:1], p[5:6], 3, "-10.0.0.0/16", "+10.2.0.0/18 4=00000002") // the room is not for the new one
	step(p[1:3], nil, 0, "-10.1.0.0/17", "-10.2.0.0/18", "+10.4.0.0/20 4=00000001", "+10.5.0.0/21 4=00000003")
	if c := s.Counts().Families[IPv4]; c != (FamilyCounts{2, 2, 0, 0, 0}) {
		t.Errorf("counts are %+v", c)
	}
}

// TestQueue: a prefix that comes and goes while it waits leaves nothing behind.
func TestQueue(t *testing.T) {
	p := someRoutes(IPv6)
	u := setup{plain: true, policy: &Policy{Accept: acceptAll, MaxPrefixes: 1}}
	s := u.establish(t)
	for range 2000 {
		for _, m := range [][]byte{write(IPv6, nil, p[:3], 1), write(IPv6, p[1:2], nil, 0)} {
			if _, err := s.FromPeer(nil, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(s.tables[IPv6].queue); n > 100 || s.Counts().Families[IPv6] != (FamilyCounts{2, 1, 1, 0, 0}) {
		t.Errorf("%d in the queue, %+v", n, s.Counts())
	}
}

// TestHardLimit: above HardMaxPrefixes, accepted or not, the session ends with
// what RFC 4486 section 4 says.
func TestHardLimit(t *testing.T) {
	for f, ends := range []string{"6/1 00010100000003", "6/1 00020100000003"} {
		p := someRoutes(f)
		policy := Policy{MaxPrefixes: 1, HardMaxPrefixes: 3, Accept: func(x netip.Prefix) bool { return x == p[2] }}
		s := setup{plain: true, policy: &policy}.establish(t)
		for range 3 {
			if _, err := s.FromPeer(nil, write(f, p[:1], p[:3], 0)); err != nil {
				t.Fatalf("at the limit: %v", err)
			}
		}
		out, err := s.FromPeer(nil, write(f, nil, p[3:4], 0))
		if ended(err) != ends || len(out) != 0 {
			t.Errorf("%q, %x, want %q", ended(err), out, ends)
		}
		if c := s.Counts().Families[f]; c != (FamilyCounts{3, 1, 0, 0, 0}) {
			t.Errorf("counts are %+v", c)
		}

		s = setup{plain: true, policy: &Policy{Accept: acceptAll}}.establish(t)
		if _, err := s.FromPeer(nil, write(f, nil, p[:4], 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SetPolicy(nil, policy, nil); ended(err) != ends {
			t.Errorf("limit lowered: %q, want %q", ended(err), ends)
		}
		if _, err := s.FromPeer(nil, frame(typeKeepalive, nil)); ended(err) != ends {
			t.Errorf("then: %q, want %q", ended(err), ends)
		}
	}
}

// TestAttributeMemory: as many prefixes as are allowed cannot have attributes
// without end, each its own.
func TestAttributeMemory(t *testing.T) {
	const hard = 1000
	s := setup{plain: true, policy: &Policy{HardMaxPrefixes: hard}}.establish(t)
	long := bytes.Repeat([]byte{0xfc, 0x9a}, 1800)
	var err error
	n := 0
	for ; err == nil && n < 3*hard; n++ {
		long[0], long[1] = byte(n>>8), byte(n)
		attrs := unhex(usual + attr(0xc0, attrCommunities, fmt.Sprintf("%x", long)))
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n % hard >> 8), byte(n % hard)}), 32)
		_, err = s.FromPeer(nil, updateMessage(nil, attrs, fieldOf(p)))
	}
	// One set of attributes a prefix: replacing them gives the memory back.
	if n != 3*hard || s.attrs.bytes > 4<<20 {
		t.Fatalf("after %d UPDATEs: %v, %d octets", n, err, s.attrs.bytes)
	}
	for n = 0; err == nil && n < hard; n++ {
		long[0], long[1] = 0xff, byte(n)
		attrs := unhex(usual + attr(0xc0, attrCommunities, fmt.Sprintf("%x%04x", long, n)+"0000"))
		a := [16]byte{0x20, 1, byte(n >> 8), byte(n)}
		mp := attr(0x80, attrMPReach, "000201"+"10"+hop6+"00"+fmt.Sprintf("%x", fieldOf(netip.PrefixFrom(netip.AddrFrom16(a), 32))))
		_, err = s.FromPeer(nil, updateMessage(nil, append(attrs, unhex(mp)...), nil))
	}
	if ended(err) != "6/8 " || s.attrs.bytes > baseBudget+2*hard*prefixBudget {
		t.Errorf("%q after %d more, with %d octets", ended(err), n, s.attrs.bytes)
	}
}

// TestFlood: what a flood took is given back when its prefixes are withdrawn.
func TestFlood(t *testing.T) {
	s := setup{plain: true, policy: &Policy{Accept: acceptAll, MaxPrefixes: 100}}.establish(t)
	const n = 50000
	at := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	for i := range n {
		if _, err := s.FromPeer(nil, write(IPv4, nil, []netip.Prefix{at(i)}, uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n - 10 {
		if _, err := s.FromPeer(nil, write(IPv4, []netip.Prefix{at(i)}, nil, 0)); err != nil {
			t.Fatal(err)
		}
	}
	tab := &s.tables[IPv4]
	if tab.peak < tab.len() {
		t.Errorf("at most there were %d prefixes, now there are %d", tab.peak, tab.len())
	}
	if c := s.Counts().Families[IPv4]; c != (FamilyCounts{10, 10, 0, 0, 0}) || tab.peak > minShrink || cap(tab.queue) > 1000 || cap(s.out.announcements) > keepOutbox {
		t.Errorf("%+v, peak %d, queue of %d", c, tab.peak, cap(tab.queue))
	}
	if s.attrs.peak > minShrink {
		t.Errorf("room for %d sets of attributes is left", s.attrs.peak)
	}
	if _, err := s.FromPeer(nil, write(IPv4, []netip.Prefix{at(n - 10)}, nil, 0)); err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		if _, err := s.FromPeer(nil, write(IPv4, []netip.Prefix{at(n - 9 + i)}, nil, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.attrs.ids) != 0 || s.attrs.bytes != 0 || cap(s.attrs.sets) != 0 {
		t.Errorf("%d sets of attributes are left", len(s.attrs.ids))
	}
}
