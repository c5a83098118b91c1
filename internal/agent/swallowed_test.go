package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/internal/underlay"
)

func TestSwallowedPacketsAreShown(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	if hints := w.status().Router.Hints; len(hints) != 0 {
		t.Errorf("hints of nothing: %v", hints)
	}
	now := time.Now()
	remote := netip.MustParseAddrPort("198.51.100.2:443")
	w.swallowed = []underlay.Swallowed{
		{Interface: "if-b", Packets: 12, Last: now.Add(-3 * time.Second), Remote: remote, Remarked: true},
		{Interface: "if-c", Packets: 1, Last: now, Remote: remote, Err: "no nftables here"},
		{Interface: "if-of-a-removed-peer", Packets: 1, Last: now, Remote: remote},
		{Interface: "if-b", Packets: 1, Last: now.Add(-25 * time.Hour), Remote: remote},
	}
	s := w.status()
	if len(s.Router.Hints) != 3 {
		t.Fatalf("%d hints: %v", len(s.Router.Hints), s.Router.Hints)
	}
	for i, want := range []struct {
		peer  string
		words []string
	}{
		{"b", []string{"12 packets", "interface if-b", "198.51.100.2:443", "restores connection marks over SO_MARK",
			"exempt mark 0x2057/0x30ff", "nftables table warren_marks marks them again"}},
		{"c", []string{"interface if-c", "cannot be marked again: no nftables here"}},
		{"", []string{"interface if-of-a-removed-peer"}},
	} {
		h := s.Router.Hints[i]
		if h.Peer != want.peer {
			t.Errorf("hint %d is about %q, want %q", i, h.Peer, want.peer)
		}
		for _, word := range want.words {
			if !strings.Contains(h.Text, word) {
				t.Errorf("hint %d lacks %q: %s", i, word, h.Text)
			}
		}
	}
	if s.Peers[0].Tunnel.Drops != 13 || s.Peers[1].Tunnel.Drops != 1 {
		t.Errorf("drops: %d and %d", s.Peers[0].Tunnel.Drops, s.Peers[1].Tunnel.Drops)
	}
}
