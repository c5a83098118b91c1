package bgp

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"warren/martian"
)

func filter(prefix string, ge, le int) Filter {
	return Filter{Prefix: netip.MustParsePrefix(prefix), Ge: ge, Le: le}
}

func TestFilterMatches(t *testing.T) {
	for _, tt := range []struct {
		filter  Filter
		prefix  string
		matches bool
	}{
		{filter("10.2.0.0/16", 0, 0), "10.2.0.0/16", true},
		{filter("10.2.0.0/16", 0, 0), "10.2.0.0/17", false},
		{filter("10.2.0.0/16", 0, 0), "10.0.0.0/8", false},
		{filter("10.2.0.0/16", 0, 24), "10.2.0.0/16", true},
		{filter("10.2.0.0/16", 0, 24), "10.2.3.0/24", true},
		{filter("10.2.0.0/16", 0, 24), "10.2.3.0/25", false},
		{filter("10.2.0.0/16", 0, 24), "10.3.0.0/24", false},
		{filter("10.2.0.0/16", 20, 0), "10.2.0.0/19", false},
		{filter("10.2.0.0/16", 20, 0), "10.2.0.0/20", true},
		{filter("10.2.0.0/16", 20, 0), "10.2.3.4/32", true},
		{filter("10.2.0.0/16", 20, 24), "10.2.0.0/16", false},
		{filter("10.2.0.0/16", 20, 24), "10.2.0.0/24", true},
		{filter("10.2.0.0/16", 20, 24), "10.2.0.0/25", false},
		{filter("10.2.0.0/16", 16, 16), "10.2.0.0/16", true},
		{filter("0.0.0.0/0", 0, 0), "0.0.0.0/0", true},
		{filter("0.0.0.0/0", 0, 0), "10.0.0.0/8", false},
		{filter("0.0.0.0/0", 0, 32), "10.2.3.4/32", true},
		{filter("0.0.0.0/0", 0, 32), "2001:db8::/32", false},
		{filter("::/0", 0, 128), "10.0.0.0/8", false},
		{filter("2001:db8::/32", 0, 48), "2001:db8:1::/48", true},
		{filter("2001:db8::/32", 0, 48), "2001:db8:1::/49", false},
		{filter("2001:db8::/32", 128, 0), "2001:db8::1/128", true},
	} {
		if got := tt.filter.Matches(netip.MustParsePrefix(tt.prefix)); got != tt.matches {
			t.Errorf("%s matches %s: %v", tt.filter, tt.prefix, got)
		}
	}
}

func TestPolicyMatches(t *testing.T) {
	anything, defaults, own := Policy{Any: true}, Policy{Default: true}, Policy{Own: true}
	martianFilter := Policy{Prefixes: []Filter{filter("127.0.0.0/8", 0, 32), filter("fe80::/10", 0, 128)}}
	for _, tt := range []struct {
		policy  Policy
		prefix  string
		local   bool
		matches bool
	}{
		{Policy{}, "10.0.0.0/8", true, false},
		{anything, "10.0.0.0/8", false, true},
		{anything, "100.64.0.0/10", false, true},
		{anything, "2001:db8::/32", false, true},
		{anything, "0.0.0.0/0", false, false},
		{anything, "::/0", false, false},
		{anything, "0.0.0.0/1", false, true}, // covers a martian, but is none
		{anything, "0.0.0.0/8", false, false},
		{anything, "127.0.0.1/32", false, false},
		{anything, "169.254.1.0/24", false, false},
		{anything, "239.1.0.0/16", false, false},
		{anything, "255.255.255.255/32", false, false},
		{anything, "::1/128", false, false},
		{anything, "::ffff:0:0/96", false, false},
		{anything, "fe80::/64", false, false},
		{anything, "ff02::/16", false, false},
		{anything, "fc00::/7", false, true},
		{defaults, "0.0.0.0/0", false, true},
		{defaults, "::/0", false, true},
		{defaults, "0.0.0.0/1", false, false},
		{own, "10.0.0.0/8", false, false},
		{own, "10.0.0.0/8", true, true},
		{own, "0.0.0.0/0", true, true},
		{own, "127.0.0.0/8", true, false},
		{martianFilter, "127.1.0.0/16", false, false},
		{martianFilter, "fe80::/10", false, false},
	} {
		if got := tt.policy.Matches(netip.MustParsePrefix(tt.prefix), tt.local); got != tt.matches {
			t.Errorf("%s matches %s (local %v): %v", tt.policy, tt.prefix, tt.local, got)
		}
	}
}

func TestFilterValidate(t *testing.T) {
	for _, f := range []Filter{{}, filter("10.2.3.0/16", 0, 0), filter("10.0.0.0/8", 7, 0), filter("10.0.0.0/8", 33, 0),
		filter("10.0.0.0/8", 0, 7), filter("10.0.0.0/8", 0, 33), filter("10.0.0.0/8", 24, 20), filter("2001:db8::/32", 0, 129)} {
		if f.Validate() == nil {
			t.Errorf("%+v is taken as valid", f)
		}
	}
	for _, f := range []Filter{filter("0.0.0.0/0", 0, 0), filter("10.0.0.0/8", 8, 8), filter("::/0", 0, 128)} {
		if err := f.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzFilter checks Matches, and the form that GoBGP gets, against a model
// that compares bit by bit.
func FuzzFilter(f *testing.F) {
	f.Add(false, []byte{10, 2, 0, 0}, uint8(16), uint8(0), uint8(24), []byte{10, 2, 3, 0}, uint8(24))
	f.Add(true, []byte{0x20, 1, 0xd, 0xb8}, uint8(32), uint8(48), uint8(64), []byte{0x20, 1, 0xd, 0xb8, 0, 1}, uint8(48))
	f.Add(false, []byte{}, uint8(0), uint8(0), uint8(0), []byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, six bool, fb []byte, fbits, ge, le uint8, pb []byte, pbits uint8) {
		fp, p := fuzzPrefix(six, fb, fbits), fuzzPrefix(six, pb, pbits)
		fl := Filter{Prefix: fp, Ge: int(ge), Le: int(le)}
		if fl.Validate() != nil {
			return
		}
		want := naiveMatch(fl, p)
		if got := fl.Matches(p); got != want {
			t.Errorf("%s matches %s: %v", fl, p, got)
		}
		least, most := fl.Lengths()
		if got := least <= p.Bits() && p.Bits() <= most && fp.Contains(p.Addr()); got != want {
			t.Errorf("%s as GoBGP has it, %d to %d, matches %s: %v", fl, least, most, p, got)
		}
		if (fl.Matches(p)) != (Policy{Prefixes: []Filter{fl}}.Matches(p, false) || martian.Is(p) && want) {
			t.Errorf("policy of %s and %s differ on %s", fl, fl, p)
		}
	})
}

func fuzzPrefix(six bool, b []byte, bits uint8) netip.Prefix {
	var a [16]byte
	copy(a[:], b)
	addr := netip.AddrFrom4([4]byte(a[:4]))
	if six {
		addr = netip.AddrFrom16(a)
	}
	return netip.PrefixFrom(addr, int(bits)%(addr.BitLen()+1)).Masked()
}

func naiveMatch(f Filter, p netip.Prefix) bool {
	bit := func(a netip.Addr, i int) byte { return a.AsSlice()[i/8] >> (7 - i%8) & 1 }
	if p.Bits() < f.Prefix.Bits() || f.Prefix.Addr().BitLen() != p.Addr().BitLen() {
		return false
	}
	for i := range f.Prefix.Bits() {
		if bit(f.Prefix.Addr(), i) != bit(p.Addr(), i) {
			return false
		}
	}
	switch {
	case f.Ge == 0 && f.Le == 0:
		return p.Bits() == f.Prefix.Bits()
	case f.Ge == 0:
		return p.Bits() <= f.Le
	case f.Le == 0:
		return p.Bits() >= f.Ge
	default:
		return p.Bits() >= f.Ge && p.Bits() <= f.Le
	}
}

// TestNarrowed asks a policy of many filters and what it is narrowed to: both say the same.
func TestNarrowed(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	address := func() netip.Addr {
		if rng.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{byte(10 + rng.IntN(2)), byte(rng.IntN(4)), byte(rng.IntN(4)), 0})
		}
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(rng.IntN(4)), 0, byte(rng.IntN(4))})
	}
	for range 200 {
		p := Policy{Any: rng.IntN(4) == 0, Default: rng.IntN(2) == 0}
		for range rng.IntN(60) {
			a := address()
			bits := min(8+rng.IntN(50), a.BitLen())
			p.Prefixes = append(p.Prefixes, Filter{Prefix: netip.PrefixFrom(a, bits).Masked(), Le: bits + rng.IntN(a.BitLen()-bits+1)})
		}
		prot := NewProtected([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, nil)
		narrowed := p.Narrowed()
		for range 200 {
			a := address()
			x := netip.PrefixFrom(a, rng.IntN(a.BitLen()+1)).Masked()
			wantOK, want := p.Accepts(x, prot)
			if ok, why := narrowed(x).Accepts(x, prot); ok != wantOK || why != want {
				t.Fatalf("%v of %v: %v, %v; narrowed %v, %v", p, x, wantOK, want, ok, why)
			}
		}
	}
}
