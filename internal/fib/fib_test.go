package fib

import (
	"net/netip"
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	good := Config{Table: 254, Metric: 20, Protocol: 186}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"table 0":         func(c *Config) { c.Table = 0 },
		"table 255":       func(c *Config) { c.Table = 255 },
		"metric -1":       func(c *Config) { c.Metric = -1 },
		"protocol 4":      func(c *Config) { c.Protocol = 4 },
		"protocol 256":    func(c *Config) { c.Protocol = 256 },
		"not an IPv4":     func(c *Config) { c.Source4 = netip.MustParseAddr("::1") },
		"not an IPv6":     func(c *Config) { c.Source6 = netip.MustParseAddr("192.0.2.1") },
		"fe80::1%eth0 is": func(c *Config) { c.Source6 = netip.MustParseAddr("fe80::1%eth0") },
	} {
		c := good
		change(&c)
		if err := c.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", c, err, want)
		}
	}
}

func TestErrorIsBounded(t *testing.T) {
	var f failures
	if f.err() != nil {
		t.Error("no failure is an error")
	}
	for range 100_000 {
		f.add("add", netip.MustParsePrefix("2001:db8::/32"), "site-b", errDuplicate)
	}
	if s := f.err().Error(); len(s) > 2000 || !strings.HasSuffix(s, "; and 99990 more") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}
