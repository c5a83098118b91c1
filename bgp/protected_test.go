package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func policyOf(words ...string) (p Policy) {
	for _, w := range words {
		switch w {
		case "any":
			p.Any = true
		case "default":
			p.Default = true
		default:
			fields := strings.Fields(w)
			f := Filter{Prefix: netip.MustParsePrefix(fields[0])}
			for i := 1; i+1 < len(fields); i += 2 {
				to := map[string]*int{"ge": &f.Ge, "le": &f.Le}[fields[i]]
				fmt.Sscan(fields[i+1], to)
			}
			p.Prefixes = append(p.Prefixes, f)
		}
	}
	return p
}

// A hub: it announces an aggregate and the way to everything, has a LAN inside
// the aggregate, an address of its own that has no subnet, a point-to-point
// underlay, and tunnels with a derived and with configured addresses.
var testProtected = NewProtected(
	prefixes("0.0.0.0/0", "2000::/3", "10.0.0.0/8", "10.1.0.0/24", "10.1.0.1/32", "10.255.0.1/32", "192.168.0.0/15",
		"203.0.113.9/32", "10.9.0.0/29", "fd00:9::/127", "2001:db8:1::/48", "2001:db8:1::/64"),
	prefixes("203.0.113.1/32", "10.1.0.254/32", "10.9.0.1/32", "10.9.0.2/32", "fd00:9::/128", "fd00:9::1/128", "2001:db8:1::fe/128", "172.16.0.1/32"))

func TestAccepts(t *testing.T) {
	none := ReasonKind(0)
	for _, tt := range []struct {
		policy string // separated by commas
		prefix string
		want   ReasonKind
		by     string
	}{
		// Nothing of this router's is concerned.
		{"any", "172.20.0.0/16", none, ""},
		{"any", "2001:db8:2::/48", none, ""},
		{"172.20.0.0/16 le 24", "172.20.5.0/24", none, ""},
		{"172.20.0.0/16 le 24", "172.20.5.0/25", ReasonFiltered, ""},
		{"", "172.20.0.0/16", ReasonFiltered, ""},
		{"any", "127.0.0.0/16", ReasonMartian, "127.0.0.0/8"},

		// The own prefix itself never, whatever is written.
		{"any", "10.1.0.0/24", ReasonOwn, "10.1.0.0/24"},
		{"10.1.0.0/24", "10.1.0.0/24", ReasonOwn, "10.1.0.0/24"},
		{"10.1.0.0/24 le 32", "10.1.0.1/32", ReasonOwn, "10.1.0.1/32"},
		{"10.0.0.0/8 le 24", "10.0.0.0/8", ReasonOwn, "10.0.0.0/8"},
		{"default", "0.0.0.0/0", ReasonOwn, "0.0.0.0/0"},
		{"any", "203.0.113.9/32", ReasonOwn, "203.0.113.9/32"},
		{"::/0 le 128", "2000::/3", ReasonOwn, "2000::/3"},

		// Inside an own prefix: not by wide words and filters.
		{"any", "10.1.0.77/32", ReasonInside, "10.1.0.0/24"},
		{"any", "10.1.0.0/25", ReasonInside, "10.1.0.0/24"},
		{"any", "10.2.0.0/16", ReasonInside, "10.0.0.0/8"},
		{"any", "192.169.3.0/24", ReasonInside, "192.168.0.0/15"},
		{"any", "2001:db8:1:2::/64", ReasonInside, "2001:db8:1::/48"},
		{"any, 172.16.0.0/12 le 32", "10.1.0.77/32", ReasonInside, "10.1.0.0/24"},
		{"10.0.0.0/8 le 32", "10.1.0.77/32", ReasonInside, "10.1.0.0/24"},
		{"0.0.0.0/0 le 32", "10.1.0.77/32", ReasonInside, "10.1.0.0/24"},
		{"0.0.0.0/0 le 32", "10.2.0.0/16", ReasonInside, "10.0.0.0/8"},
		{"10.0.0.0/7 le 32", "10.2.0.0/16", ReasonInside, "10.0.0.0/8"},
		{"172.16.0.0/12 le 32", "10.1.0.77/32", ReasonFiltered, ""},

		// But by a filter that lies inside too. One is enough.
		{"10.2.0.0/16 le 24", "10.2.0.0/16", none, ""},
		{"10.2.0.0/16 le 24", "10.2.7.0/24", none, ""},
		{"10.0.0.0/8 le 24", "10.2.7.0/24", none, ""}, // the hub's own aggregate, by its name
		{"10.0.0.0/8 le 32", "10.2.7.7/32", none, ""},
		{"10.1.0.0/24 le 32", "10.1.0.77/32", none, ""},
		{"10.1.0.77/32", "10.1.0.77/32", none, ""},
		{"10.1.0.0/16 le 32", "10.1.0.77/32", ReasonInside, "10.1.0.0/24"}, // not inside the longest
		{"any, 10.0.0.0/8 le 32, 10.1.0.64/26 le 32", "10.1.0.77/32", none, ""},
		{"10.1.0.64/26 le 31, any", "10.1.0.77/32", ReasonInside, "10.1.0.0/24"}, // the one that lies inside does not match
		{"2001:db8:1:2::/64", "2001:db8:1:2::/64", none, ""},

		// Addresses of tunnels and gateways never.
		{"any", "203.0.113.1/32", ReasonReserved, "203.0.113.1/32"},
		{"203.0.113.1/32", "203.0.113.1/32", ReasonReserved, "203.0.113.1/32"},
		{"10.1.0.0/24 le 32", "10.1.0.254/32", ReasonReserved, "10.1.0.254/32"},
		{"10.9.0.0/29 le 32", "10.9.0.2/32", ReasonReserved, "10.9.0.2/32"},
		{"fd00:9::/127 le 128", "fd00:9::1/128", ReasonReserved, "fd00:9::1/128"},
		{"any", "fd00:9::/127", ReasonOwn, "fd00:9::/127"},
		{"any", "fd00:9::/128", ReasonReserved, "fd00:9::/128"},
		// Nor what would take their traffic from the subnet that they are in.
		{"10.1.0.0/24 le 32", "10.1.0.128/25", ReasonReserved, "10.1.0.254/32"},
		{"10.1.0.0/24 le 32", "10.1.0.0/25", none, ""},
		{"10.9.0.0/29 le 32", "10.9.0.0/30", ReasonReserved, "10.9.0.1/32"},
		{"2001:db8:1::/64 le 128", "2001:db8:1::/65", ReasonReserved, "2001:db8:1::fe/128"},
		// Where the subnet is more specific it takes nothing.
		{"10.8.0.0/15 le 24", "10.9.0.0/24", none, ""},
		{"10.1.0.0/16 le 24", "10.1.0.0/20", none, ""},
		{"any", "172.16.0.0/16", none, ""}, // on its way to nothing of ours

		// Short prefixes and default routes.
		{"any", "0.0.0.0/1", ReasonShort, ""},
		{"any", "128.0.0.0/1", ReasonShort, ""},
		{"any", "96.0.0.0/7", ReasonShort, ""},
		{"any", "96.0.0.0/8", none, ""},
		{"any", "2001::/15", ReasonShort, ""},
		{"any", "8000::/1", ReasonShort, ""},
		{"any", "3fff::/16", none, ""},
		{"any", "::/0", ReasonFiltered, ""},
		{"any", "0.0.0.0/0", ReasonOwn, "0.0.0.0/0"},
		{"default", "::/0", none, ""},
		{"any, default", "0.0.0.0/1", ReasonShort, ""},
		{"default", "0.0.0.0/1", ReasonFiltered, ""},
		{"0.0.0.0/0 le 32", "0.0.0.0/1", none, ""}, // a filter takes what it says
		{"::/0", "::/0", none, ""},
		{"::/0 le 128", "8000::/1", none, ""},
		{"any, 128.0.0.0/1", "128.0.0.0/1", none, ""},
	} {
		var words []string
		if tt.policy != "" {
			words = strings.Split(tt.policy, ", ")
		}
		ok, reason := policyOf(words...).Accepts(netip.MustParsePrefix(tt.prefix), testProtected)
		want := Reason{Kind: tt.want}
		if tt.by != "" {
			want.By = netip.MustParsePrefix(tt.by)
		}
		if ok != (tt.want == none) || reason != want {
			t.Errorf("import %q of %s: %v, %+v (%s); want %+v", tt.policy, tt.prefix, ok, reason, reason, want)
		}
		if (reason.String() == "") != ok {
			t.Errorf("import %q of %s: %v, and the reason is %q", tt.policy, tt.prefix, ok, reason)
		}
	}
}

func TestNothingIsProtected(t *testing.T) {
	for _, p := range []*Protected{nil, NewProtected(nil, nil)} {
		if ok, reason := policyOf("any").Accepts(netip.MustParsePrefix("10.1.0.0/24"), p); !ok {
			t.Errorf("%+v: %s", p, reason)
		}
		if p.Concerns(netip.MustParsePrefix("10.1.0.0/24")) || !p.Equal(p) || p.Equal(testProtected) || testProtected.Equal(p) {
			t.Errorf("%+v", p)
		}
	}
	if p := NewProtected([]netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/104")}, []netip.Prefix{{}}); !p.Equal(NewProtected(nil, nil)) {
		t.Errorf("what is no prefix is protected: %+v", p)
	}
}

// naiveAccepts is the rule as the documentation has it, word by word.
func naiveAccepts(imp Policy, p netip.Prefix, own, reserved []netip.Prefix) bool {
	inside := func(a, b netip.Prefix) bool {
		return a.Addr().BitLen() == b.Addr().BitLen() && a.Bits() >= b.Bits() && b.Contains(a.Addr())
	}
	shortest := map[int]int{32: 8, 128: 16}[p.Addr().BitLen()]
	for _, r := range reserved {
		if inside(p, r) {
			return false
		}
	}
	var around []netip.Prefix
	for _, o := range own {
		if o == p {
			return false
		}
		if inside(p, o) && o.Bits() >= shortest {
			around = append(around, o)
		}
	}
	for _, r := range reserved {
		if !inside(r, p) || around == nil {
			continue
		}
		shielded := false
		for _, o := range own {
			shielded = shielded || inside(r, o) && inside(o, p)
		}
		if !shielded {
			return false
		}
	}
	passes := func(matches bool, filter netip.Prefix) bool {
		for _, o := range around {
			matches = matches && filter.IsValid() && inside(filter, o)
		}
		return matches
	}
	if passes(imp.Any && p.Bits() >= shortest, netip.Prefix{}) || passes(imp.Default && p.Bits() == 0, netip.Prefix{}) {
		return true
	}
	for _, f := range imp.Prefixes {
		if passes(naiveMatch(f, p), f.Prefix) {
			return true
		}
	}
	return false
}

// FuzzAccepts compares Accepts with the naive model, on prefixes that are close
// to one another.
func FuzzAccepts(f *testing.F) {
	f.Add(false, byte(1), []byte{10, 8, 10, 16, 10, 32}, []byte{10, 32}, []byte{10, 12, 0, 32}, byte(10), byte(24))
	f.Add(true, byte(3), []byte{0, 0, 32, 3}, []byte{32, 128}, []byte{}, byte(32), byte(20))
	f.Fuzz(func(t *testing.T, six bool, words byte, own, reserved, filters []byte, addr, bits byte) {
		one := func(a, bits byte) netip.Prefix { return fuzzPrefix(six, []byte{32 | a&1, a >> 1, 0, a}, bits) }
		many := func(b []byte) (ps []netip.Prefix) {
			for ; len(b) > 1 && len(ps) < 20; b = b[2:] {
				ps = append(ps, one(b[0], b[1]))
			}
			return ps
		}
		imp := Policy{Any: words&1 != 0, Default: words&2 != 0}
		for i := 0; i+3 < len(filters) && i < 80; i += 4 {
			fl := Filter{Prefix: one(filters[i], filters[i+1]), Ge: int(filters[i+2]), Le: int(filters[i+3])}
			if fl.Validate() == nil {
				imp.Prefixes = append(imp.Prefixes, fl)
			}
		}
		ours, theirs, p := many(own), many(reserved), one(addr, bits)
		want := naiveAccepts(imp, p, ours, theirs)
		prot := NewProtected(ours, theirs)
		if again := NewProtected(prot.Prefixes()); !again.Equal(prot) {
			t.Errorf("own %v and reserved %v are not the same again", ours, theirs)
		}
		if got, reason := imp.Accepts(p, prot); got != want {
			t.Errorf("import %s of %s with own %v and reserved %v: %v (%s)", imp, p, ours, theirs, got, reason)
		}
	})
}

// BenchmarkAccepts is what each received prefix costs.
func BenchmarkAccepts(b *testing.B) {
	var own, reserved []netip.Prefix
	for i := range 3000 {
		own = append(own, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 24).Masked())
		reserved = append(reserved, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 32))
	}
	prot := NewProtected(own, reserved)
	for name, p := range map[string]string{"elsewhere": "20.1.2.0/24", "inside": "10.3.7.77/32"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			imp, p := policyOf("any", "10.3.0.0/16 le 24"), netip.MustParsePrefix(p)
			for b.Loop() {
				imp.Accepts(p, prot)
			}
		})
	}
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			NewProtected(own, reserved)
		}
	})
}

func prefixes(ss ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(ss))
	for i, s := range ss {
		ps[i] = netip.MustParsePrefix(s)
	}
	return ps
}
