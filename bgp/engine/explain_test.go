package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp"
)

// explained is an explanation in one line.
func explained(e bgp.Explanation) string {
	var words []string
	for _, c := range e.Candidates {
		w := c.Neighbor + "=" + string(c.Verdict)
		for _, more := range []string{string(c.Step), string(c.Loop), c.Reason.String(), c.Text} {
			if more != "" {
				w += "(" + more + ")"
			}
		}
		if c.Hard {
			w += "(hard)"
		}
		words = append(words, w)
	}
	words = append(words, "|")
	for _, x := range e.Exports {
		words = append(words, strings.TrimSuffix(x.Neighbor+":"+string(x.Withheld), ":"))
	}
	if e.Local {
		words = append(words, "local")
	}
	return strings.Join(words, " ")
}

// wantExplained waits until a prefix is explained like that.
func wantExplained(t *testing.T, s *Speaker, prefix, want string) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		if got := explained(s.Explain(bgp.Question{Of: netip.MustParsePrefix(prefix)})); got != want {
			return fmt.Sprintf("%s: %q, want %q", prefix, got, want)
		}
		return ""
	})
}

// TestExplain has neighbors announce what is taken and what is refused for each reason that there is, and
// looks at what is said of it.
func TestExplain(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	some := func(n *Neighbor) {
		n.Import = Policy{Prefixes: []Filter{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Le: 24}, {Prefix: netip.MustParsePrefix("127.0.0.0/8"), Le: 24}}}
		n.Export, n.MaxPrefixes = Policy{Own: true, Any: true}, 2
	}
	b := rawSession(t, s, "b", 64513, "10.0.0.2", some)
	c := rawSession(t, s, "c", 64514, "10.0.0.3", func(n *Neighbor) { n.Export = Policy{Own: true} })
	d := rawSession(t, s, "d", 64513, "10.0.0.4", func(n *Neighbor) { n.Export = Policy{Any: true} })
	e := rawSession(t, s, "e", 64515, "10.0.0.5", func(n *Neighbor) { n.Export = Policy{Any: true} })
	own := prefixes("10.1.0.0/16")
	if err := s.SetAnnounced(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	wantExplained(t, s, "10.1.0.0/16", "| b c d e local")
	wantExplained(t, s, "10.77.0.0/16", "| b:nothing c:nothing d:nothing e:nothing")

	// The decision, step by step.
	p := prefixes("10.9.0.0/16")
	c.announcePath([]uint32{64514, 64999}, 0, 0, p...)
	wantExplained(t, s, "10.9.0.0/16", "c=best | b c:source d e")
	b.announcePath([]uint32{64513}, 0, 0, p...)
	wantExplained(t, s, "10.9.0.0/16", "b=best c=reserve(as_path) | b:source c:export d:same_as e")
	c.announcePath([]uint32{64514}, 0, 0, p...)
	wantExplained(t, s, "10.9.0.0/16", "b=best c=reserve(age) | b:source c:export d:same_as e")
	d.announcePath([]uint32{64513}, 0, 0, p...)
	wantExplained(t, s, "10.9.0.0/16", "b=best d=best c=reserve(age) | b:source c:export d:same_as e")
	d.announcePath([]uint32{64513}, 7, 0, p...)
	wantExplained(t, s, "10.9.0.0/16", "b=best c=reserve(age) d=reserve(med) | b:source c:export d:same_as e")

	// Refused: filters, the limit, loops, what is malformed.
	b.announcePath([]uint32{64513}, 0, 0, prefixes("10.10.0.0/25", "127.1.0.0/16", "172.16.0.0/16")...)
	wantExplained(t, s, "10.10.0.0/25", "b=filtered(no filter of import matches it) | b:nothing c:nothing d:nothing e:nothing")
	wantExplained(t, s, "127.1.0.0/16", "b=martian(is never routed (127.0.0.0/8)) | b:nothing c:nothing d:nothing e:nothing")
	b.announcePath([]uint32{64513}, 0, 0, prefixes("10.11.0.0/16", "10.12.0.0/16")...)
	wantExplained(t, s, "10.11.0.0/16", "b=best | b:source c:export d:same_as e")
	wantExplained(t, s, "10.12.0.0/16", "b=limited | b:nothing c:nothing d:nothing e:nothing")
	c.announcePath([]uint32{64514, 64512}, 0, 0, prefixes("10.13.0.0/16")...)
	wantExplained(t, s, "10.13.0.0/16", "c=looped(as_path) | b:nothing c:nothing d:nothing e:nothing")
	c.write(malformedUpdate(t, "10.14.0.0/16"))
	wantExplained(t, s, "10.14.0.0/16", "c=invalid(ORIGIN is 9 (RFC 7606 section 7.1)) | b:nothing c:nothing d:nothing e:nothing")

	// Communities, and an address: the longest prefix that is in use, and those that are refused.
	e.announceWith([]uint32{64515}, 0, []uint32{uint32(gobgp.COMMUNITY_NO_EXPORT)}, "10.15.0.0/16")
	wantExplained(t, s, "10.15.0.0/16", "e=best | b:no_export c:no_export d:no_export e:source")
	e.announceWith([]uint32{64515}, 0, []uint32{uint32(gobgp.COMMUNITY_NO_ADVERTISE)}, "10.16.0.0/16")
	wantExplained(t, s, "10.16.0.0/16", "e=best | b:no_advertise c:no_advertise d:no_advertise e:source")
	ask := func(of string) bgp.Explanation {
		a := netip.MustParseAddr(of)
		return s.Explain(bgp.Question{Of: netip.PrefixFrom(a, a.BitLen()), Address: true})
	}
	d.announcePath([]uint32{64513}, 0, 0, prefixes("10.10.0.0/16")...)
	eventually(t, 40*time.Second, func() string {
		if x := ask("10.10.0.1"); x.Prefix != prefixes("10.10.0.0/16")[0] || fmt.Sprint(x.Refused) != "[10.10.0.0/25]" {
			return fmt.Sprintf("%+v", x)
		}
		return ""
	})
	if x := ask("172.16.9.9"); x.Prefix != prefixes("172.16.0.0/16")[0] || len(x.Candidates) != 1 {
		t.Errorf("an address in a refused prefix: %+v", x)
	}
	if x := ask("10.1.2.3"); x.Prefix != own[0] || !x.Local {
		t.Errorf("an address in an own prefix: %+v", x)
	}
	if x := ask("192.0.2.1"); x.Prefix.IsValid() || len(x.Candidates) != 0 {
		t.Errorf("an address that nobody announces: %+v", x)
	}
	x := s.Explain(bgp.Question{Of: p[0]}).Candidates[0]
	if x.Path != "64513" || x.LocalPref != 100 || x.Origin != "igp" || !x.NextHop.IsValid() {
		t.Errorf("the best is %+v", x)
	}
}

// TestExplainHardLimit: that the session ended for too many prefixes is said of each prefix that import takes.
func TestExplainHardLimit(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	b := rawSession(t, s, "b", 64513, "10.0.0.2", func(n *Neighbor) { n.MaxPrefixes, n.HardMaxPrefixes = 1, 1 })
	b.announcePath([]uint32{64513}, 0, 0, prefixes("10.2.0.0/16", "10.3.0.0/16")...)
	wantExplained(t, s, "10.2.0.0/16", "b=limited(hard) | b:session")
}

// TestExplainInternal: iBGP neighbors do not tell each other what they hear, and over iBGP the router
// ID decides.
func TestExplainInternal(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	any := func(n *Neighbor) { n.Export = Policy{Any: true} }
	b := rawSession(t, s, "b", 64512, "10.0.0.2", any)
	c := rawSession(t, s, "c", 64512, "10.0.0.3", any)
	e := rawSession(t, s, "e", 64515, "10.0.0.5", any)
	p := prefixes("10.9.0.0/16")
	c.announcePath([]uint32{64999}, 0, 100, p...)
	wantExplained(t, s, "10.9.0.0/16", "c=best | b:internal c:source e")
	b.announcePath([]uint32{64998}, 0, 100, p...)
	wantExplained(t, s, "10.9.0.0/16", "b=best c=reserve(router_id) | b:source c:internal e")
	b.announcePath([]uint32{64998}, 0, 90, p...)
	wantExplained(t, s, "10.9.0.0/16", "c=best b=reserve(local_pref) | b:internal c:source e")
	e.announcePath([]uint32{64515}, 0, 0, p...)
	wantExplained(t, s, "10.9.0.0/16", "e=best c=reserve(ebgp) b=reserve(local_pref) | b c e:source")
}

// TestShortened: the best stays, and what is asked about.
func TestShortened(t *testing.T) {
	all := make([]bgp.Candidate, 2*bgp.MaxCandidates)
	for i := range all {
		all[i].Neighbor = fmt.Sprint("n", i)
	}
	all[len(all)-1].Neighbor, all[len(all)-2].Neighbor = "b/1", "bb"
	got := shortened(all, &bgp.Question{From: "b"})
	if len(got) != bgp.MaxCandidates || got[0].Neighbor != "n0" || got[1].Neighbor != "b/1" || got[2].Neighbor != "n1" {
		t.Errorf("%d: %v", len(got), got[:3])
	}
}

// malformedUpdate announces a prefix with an ORIGIN that there is not.
func malformedUpdate(t *testing.T, p string) []byte {
	attrs := []byte{0x40, 1, 1, 9, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x02, 0x40, 3, 4, 10, 9, 9, 9}
	x := netip.MustParsePrefix(p)
	body := append([]byte{0, 0, 0, byte(len(attrs))}, attrs...)
	body = append(body, byte(x.Bits()))
	a := x.Addr().As4()
	body = append(body, a[:(x.Bits()+7)/8]...)
	return message(2, 19+len(body), body)
}
