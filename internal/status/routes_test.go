package status

import (
	"strings"
	"testing"
)

func TestParseRoutesOf(t *testing.T) {
	for text, want := range map[string]string{
		"": "invalid Prefix", "10.2.0.0/24": "10.2.0.0/24", "10.2.0.7": "10.2.0.7/32", "2001:db8::1": "2001:db8::1/128",
		"::ffff:10.2.0.7": "10.2.0.7/32", "::/0": "::/0",
	} {
		if p, err := ParseRoutesOf(text); err != nil || p.String() != want {
			t.Errorf("%q: %s, %v; want %s", text, p, err, want)
		}
	}
	for text, says := range map[string]string{"site-b": "neither a prefix", "10.2.0.1/24": "is 10.2.0.0/24 meant", "10.2.0.0/33": "neither"} {
		if _, err := ParseRoutesOf(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v; want %q", text, err, says)
		}
	}
}

func TestRoutesTable(t *testing.T) {
	var b strings.Builder
	err := RoutesTable(&b, Routes{More: 7, Routes: []Route{{Prefix: "10.2.0.0/24", Ways: []Way{
		{Peer: "b", Interface: "b", State: WayUsed, Share: 0.75, Weight: 3}, {Peer: "b", Interface: "b.1", State: WayUsed, Share: 0.25, Weight: 1},
		{Peer: "c\x1b", Interface: "c", State: WayReserve, Weight: 1}, {Peer: "d", Interface: "d", State: WayDown, Weight: 1},
	}}}})
	want := `PREFIX       PEER  INTERFACE  STATE    SHARE  WEIGHT
10.2.0.0/24  b     b          used     75 %   3
10.2.0.0/24  b     b.1        used     25 %   1
10.2.0.0/24  c?    c          reserve  -      1
10.2.0.0/24  d     d          down     -      1
7 more: name a prefix or an address
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	if err := RoutesTable(&b, Routes{}); err != nil || b.String() != "no such route is learned from a peer\n" {
		t.Errorf("%v, %q", err, b.String())
	}
}
