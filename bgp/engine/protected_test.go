package engine

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/bgp"
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

func filter(prefix string, ge, le int) Filter {
	return Filter{Prefix: netip.MustParsePrefix(prefix), Ge: ge, Le: le}
}

// TestProtectedChanges changes what is protected under a session.
func TestProtectedChanges(t *testing.T) {
	var book logBook
	s := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&book, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	set := func(own, reserved []netip.Prefix) {
		t.Helper()
		if err := s.SetProtected(t.Context(), bgp.NewProtected(own, reserved)); err != nil {
			t.Fatal(err)
		}
	}
	b := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	hub := rawSession(t, s, "hub", 64514, "10.0.0.3", func(n *Neighbor) { n.Import = policyOf("10.2.0.0/16 le 24", "10.3.0.0/16") })
	b.update(64513, prefixes("10.1.0.0/16", "10.1.1.0/24", "172.16.0.1/32", "172.17.0.0/16", "0.0.0.0/1"), nil)
	hub.update(64514, prefixes("10.2.1.0/24", "10.3.0.0/16"), nil)
	check := func(fromB, fromHub string) {
		t.Helper()
		eventually(t, 40*time.Second, func() string {
			routes, got := s.Routes(), 0
			for name, list := range map[string]string{"b": fromB, "hub": fromHub} {
				for _, p := range prefixes(strings.Fields(list)...) {
					if routes[p].Best() != name {
						return "routes are " + describe(routes)
					}
					got++
				}
			}
			if len(routes) != got {
				return "routes are " + describe(routes)
			}
			// What GoBGP lets in, it also passes on.
			if n := ribSize(t, s); n != got {
				return fmt.Sprintf("GoBGP holds %d routes, not %d", n, got)
			}
			return ""
		})
	}
	check("10.1.0.0/16 10.1.1.0/24 172.16.0.1/32 172.17.0.0/16", "10.2.1.0/24 10.3.0.0/16")
	since := statusOf(s, "b").Since
	set(prefixes("10.1.0.0/16", "2001:db8::/32"), prefixes("172.16.0.1/32"))
	check("172.17.0.0/16", "10.2.1.0/24 10.3.0.0/16")
	set(prefixes("10.1.0.0/16", "172.16.0.1/32"), prefixes("172.16.0.1/32"))
	set(prefixes("10.1.0.0/16"), prefixes("172.16.0.1/32")) // for one of two reasons still
	check("172.17.0.0/16", "10.2.1.0/24 10.3.0.0/16")
	set(prefixes("10.0.0.0/8", "172.0.0.0/6"), nil)
	check("172.16.0.1/32 172.17.0.0/16", "10.2.1.0/24 10.3.0.0/16")
	// Another policy, with the same protected: all of 10.0.0.0/8 is b's to give.
	if err := s.SetPolicy(t.Context(), "b", policyOf("any", "10.0.0.0/8 le 16"), Policy{}, 0, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, 40*time.Second, func() string {
		if routes := s.Routes(); len(routes) != 5 || routes[netip.MustParsePrefix("10.1.0.0/16")].Best() != "b" {
			return "routes are " + describe(routes)
		}
		return ""
	})
	set(nil, nil)
	check("10.1.0.0/16 10.1.1.0/24 172.16.0.1/32 172.17.0.0/16", "10.2.1.0/24 10.3.0.0/16")
	if st := statusOf(s, "b"); !st.Since.Equal(since) {
		t.Error("the session did not stay")
	}
	log := book.String()
	if n := strings.Count(log, "prefix refused"); n != 1 || !strings.Contains(log, "10.1.") {
		t.Errorf("said %d times:\n%s", n, log)
	}
}
