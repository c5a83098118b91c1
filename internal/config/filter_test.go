package config

import (
	"net/netip"
	"testing"
)

func TestParseFilter(t *testing.T) {
	filter := func(prefix string, ge, le int) PrefixFilter {
		return PrefixFilter{netip.MustParsePrefix(prefix), ge, le}
	}
	for _, c := range []struct {
		in   string
		want PrefixFilter
		out  string
	}{
		{"10.0.0.0/8", filter("10.0.0.0/8", 8, 8), "10.0.0.0/8"},
		{" 10.0.0.0/8\tle  24 ", filter("10.0.0.0/8", 8, 24), "10.0.0.0/8 le 24"},
		{"10.0.0.0/8 ge 16", filter("10.0.0.0/8", 16, 32), "10.0.0.0/8 ge 16"},
		{"10.0.0.0/8 ge 16 le 24", filter("10.0.0.0/8", 16, 24), "10.0.0.0/8 ge 16 le 24"},
		{"10.0.0.0/8 ge 8", filter("10.0.0.0/8", 8, 32), "10.0.0.0/8 le 32"},
		{"10.0.0.0/8 ge 8 le 8", filter("10.0.0.0/8", 8, 8), "10.0.0.0/8"},
		{"10.0.0.1/32 le 32", filter("10.0.0.1/32", 32, 32), "10.0.0.1/32"},
		{"0.0.0.0/0", filter("0.0.0.0/0", 0, 0), "0.0.0.0/0"},
		{"::/0 ge 16 le 48", filter("::/0", 16, 48), "::/0 ge 16 le 48"},
		{"2001:db8::/32 ge 128", filter("2001:db8::/32", 128, 128), "2001:db8::/32 ge 128"},
	} {
		got, err := parseFilter(c.in)
		if err != nil || got != c.want || got.String() != c.out {
			t.Errorf("%q: %+v %q, %v; want %+v %q", c.in, got, got, err, c.want, c.out)
		}
	}
	for _, in := range []string{
		"", "10.0.0.0", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8 le", "10.0.0.0/8 le 7", "10.0.0.0/8 le 33", "10.0.0.0/8 ge 24 le 16",
		"10.0.0.0/8 le 24 ge 16", "10.0.0.0/8 le +9", "10.0.0.0/8 le -9", "10.0.0.0/8 le 264", "10.0.0.0/8 24", "10.0.0.0/8-24",
		"10.0.0.0/8 le 16 le 24", "2001:db8::/32 le 129", "fe80::/64", "::ffff:10.0.0.0/104", "fd00::%eth0/64",
	} {
		if got, err := parseFilter(in); err == nil {
			t.Errorf("%q was taken as %+v", in, got)
		}
	}
}

// FuzzFilter checks that what is taken keeps the promises of PrefixFilter, and
// means the same when printed and read again.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "10.0.0.0/8 ge 9 le 24", "2001:db8::/32 le 48", "::/0 ge 128", "0.0.0.0/0 le 0", "x", "1/1 ge ge"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		filter, err := parseFilter(s)
		if err != nil {
			return
		}
		p := filter.Prefix
		if !p.IsValid() || p != p.Masked() || p.Bits() > filter.Ge || filter.Ge > filter.Le || filter.Le > p.Addr().BitLen() {
			t.Fatalf("%q became %+v", s, filter)
		}
		again, err := parseFilter(filter.String())
		if err != nil || again != filter {
			t.Fatalf("%q became %+v, printed %q, became %+v, %v", s, filter, filter, again, err)
		}
	})
}
