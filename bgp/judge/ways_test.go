package judge

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

var (
	prefix4 = netip.MustParsePrefix("10.60.0.0/24")
	prefix6 = netip.MustParsePrefix("2001:db8:60::/48")
)

// TestWayAttributes has what routes are compared by, of both families, from peers of all kinds.
func TestWayAttributes(t *testing.T) {
	const (
		path1  = "\x02\x01\x00\x00\xfc\x9a"
		pathV6 = "\x02\x02\x00\x00\xfc\x9a\x00\x01\x00\x00"
	)
	shutdown, stale := attr(0xc0, attrCommunities, "fde80001ffff0000"), attr(0xc0, attrCommunities, "ffff0006")
	for _, c := range []struct {
		name  string
		setup setup
		path  string
		more  string
		want  Attributes
	}{
		{"usual", setup{}, "40020602010000fc9a", "", Attributes{LocalPref: 100, Path: path1, Length: 1, FirstAS: 64666}},
		{"MED", setup{}, "40020602010000fc9a", attr(0x80, attrMED, "00000009"), Attributes{LocalPref: 100, Path: path1, Length: 1, FirstAS: 64666, MED: 9}},
		{"preference", setup{policy: &Policy{Accept: acceptAll, Preference: 7}}, "40020602010000fc9a", "", Attributes{LocalPref: 107, Path: path1, Length: 1, FirstAS: 64666}},
		{"graceful shutdown", setup{policy: &Policy{Accept: acceptAll, Preference: 7}}, "40020602010000fc9a", shutdown, Attributes{Path: path1, Length: 1, FirstAS: 64666}},
		{"drained", setup{policy: &Policy{Accept: acceptAll, Preference: 7, Drained: true, DrainedPref: 2}}, "40020602010000fc9a", shutdown, Attributes{LocalPref: 2, Path: path1, Length: 1, FirstAS: 64666}},
		{"iBGP, drained", setup{internal: true, policy: &Policy{Accept: acceptAll, Preference: 7, Drained: true}}, "400200", attr(0x40, attrLocalPref, "000000c8"), Attributes{}},
		{"stale", setup{}, "40020602010000fc9a", stale, Attributes{LocalPref: 100, Path: path1, Length: 1, FirstAS: 64666, Stale: true}},
		{"iBGP", setup{internal: true}, "400200", attr(0x40, attrLocalPref, "000000c8"), Attributes{LocalPref: 200}},
		{"iBGP, preference", setup{internal: true, policy: &Policy{Accept: acceptAll, Preference: 7}}, "400200", attr(0x40, attrLocalPref, "000000c8"), Attributes{LocalPref: 207}},
		{"iBGP, graceful shutdown is its own business", setup{internal: true}, "400200", shutdown, Attributes{LocalPref: 100}},
		{"a set", setup{}, "40020c" + "02010000fc9a" + "01010000fc9b", "", Attributes{LocalPref: 100, Path: path1 + "\x01\x01\x00\x00\xfc\x9b", Length: 2, FirstAS: 64666}},
		{"two octets", setup{two: true}, "4002040201fc9a", "", Attributes{LocalPref: 100, Path: path1, Length: 1, FirstAS: 64666}},
		{"two octets and four", setup{two: true}, "4002060202fc9a5ba0", attr(0xc0, attrAS4Path, "02020000fc9a00010000"), Attributes{LocalPref: 100, Path: pathV6, Length: 2, FirstAS: 64666}},
	} {
		s := c.setup
		s.plain = true
		is := s.establish(t)
		hear(t, is, nil, updateMessage(nil, unhex(origin+c.path+hop+c.more), unhex(v4)), updateMessage(nil, unhex(origin+c.path+c.more+reach6), nil))
		for _, p := range []netip.Prefix{prefix4, prefix6} {
			if a, ok := is.Attributes(p); !ok || a != c.want {
				t.Errorf("%s: %s is %+v, %v, want %+v", c.name, p, a, ok, c.want)
			}
		}
	}
	none := setup{policy: &Policy{Accept: func(netip.Prefix) bool { return false }}}.establish(t)
	if _, ok := none.Attributes(prefix4); ok {
		t.Error("a prefix that is refused has attributes")
	}
}

// TestMoved has Config.Moved say what a reader of the stream finds out.
func TestMoved(t *testing.T) {
	var moved []string
	cfg := setup{}.config()
	cfg.Policy.MaxPrefixes = 1
	cfg.Moved = func(p netip.Prefix, announced bool) { moved = append(moved, fmt.Sprintf("%s %v", p, announced)) }
	s := shakeHands(t, cfg, gracefulOpen(gracefulBoth))
	want := func(what string, is ...string) {
		t.Helper()
		if !slices.Equal(moved, is) {
			t.Errorf("%s: %v, want %v", what, moved, is)
		}
		moved = nil
	}
	other := "180a3d00" // 10.61.0.0/24
	hear(t, s, nil, updateMessage(nil, unhex(usual), unhex(v4+other)), updateMessage(nil, unhex(usual6), nil))
	want("two of which one waits", "10.60.0.0/24 true", "2001:db8:60::/48 true")
	hear(t, s, nil, updateMessage(nil, unhex(usual), unhex(v4)))
	want("the same again")
	hear(t, s, nil, updateMessage(nil, unhex(usual+attr(0x80, attrMED, "00000001")), unhex(v4+other)))
	want("another MED", "10.60.0.0/24 true")
	hear(t, s, nil, updateMessage(unhex(v4), nil, nil))
	want("withdrawn", "10.60.0.0/24 false", "10.61.0.0/24 true")
	p := cfg.Policy
	p.Preference = 3
	if _, err := s.SetPolicy(nil, p, nil); err != nil {
		t.Fatal(err)
	}
	want("another preference", "10.61.0.0/24 true", "2001:db8:60::/48 true")
	p.Drained = true
	if _, err := s.SetPolicy(nil, p, nil); err != nil {
		t.Fatal(err)
	}
	want("drained", "10.61.0.0/24 true", "2001:db8:60::/48 true")
	p.Accept = func(p netip.Prefix) bool { return p.Addr().Is4() }
	if _, err := s.SetPolicy(nil, p, nil); err != nil {
		t.Fatal(err)
	}
	want("another policy", "2001:db8:60::/48 false")
	s.Retain(nil)
	want("the connection is lost")
	s.Expire(nil)
	want("it does not come back", "10.61.0.0/24 false")
}

// TestPreference has LOCAL_PREF from an iBGP peer, and of one that says none, handed on with a preference.
func TestPreference(t *testing.T) {
	for _, c := range []struct{ is, want string }{
		{attr(0x40, attrLocalPref, "000000c8"), "000000d2"}, {"", "0000006e"},
		{attr(0x40, attrLocalPref, "fffffffe"), "ffffffff"}, {attr(0x40, attrLocalPref, "00000000"), "00000000"},
	} {
		s := setup{internal: true, plain: true, policy: &Policy{Accept: acceptAll, Preference: 10}}.establish(t)
		out := hear(t, s, nil, updateMessage(nil, unhex(origin+"400200"+hop+c.is), unhex(v4)), updateMessage(nil, unhex(origin+"400200"+c.is+reach6), nil))
		if n := bytes.Count(out, unhex(attr(0x40, attrLocalPref, c.want))); n != 2 {
			t.Errorf("%s becomes %x: %s is there %d times, want 2", c.is, out, c.want, n)
		}
		// What was handed on is judged to the same again.
		again := setup{internal: true, plain: true}.establish(t)
		if once := hear(t, again, nil, out); !slices.Equal(once, out) {
			t.Errorf("judged again it is %x, not %x", once, out)
		}
	}
	s := setup{plain: true, policy: &Policy{Accept: acceptAll, Preference: 10}}.establish(t)
	plain := setup{plain: true}.establish(t)
	m := updateMessage(nil, unhex(usual), unhex(v4))
	if with, without := hear(t, s, nil, m), hear(t, plain, nil, m); !slices.Equal(with, without) {
		t.Errorf("over eBGP it is %x, want %x", with, without)
	}
}
