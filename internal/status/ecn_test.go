package status

import (
	"strings"
	"testing"
)

// What is known of marks of congestion is said of a peer, and nothing where there are none.
func TestPeerTextOfMarking(t *testing.T) {
	for _, c := range []struct {
		tunnel Tunnel
		ecn    string // "": there is no such line
		dscp   string
	}{
		{Tunnel{}, "", ""},
		{Tunnel{ECN: true}, "sent; 0 packets received with a mark of congestion", ""},
		{Tunnel{ECN: true, RxMarked: 12, DSCP: "copy"}, "sent; 12 packets received with a mark of congestion", "copy"},
		{Tunnel{RxMarked: 3, DSCP: "46"}, "not sent; 3 packets received with a mark of congestion", "46"},
	} {
		s := example()
		s.Peers[0].Tunnels[0].Tunnel = c.tunnel
		s.Peers[0].Tunnels = s.Peers[0].Tunnels[:1]
		var b strings.Builder
		if err := PeerText(&b, s.Of(s.Peers[0])); err != nil {
			t.Fatal(err)
		}
		lines := map[string]string{}
		for line := range strings.Lines(b.String()) {
			key, text, _ := strings.Cut(strings.TrimSpace(line), " ")
			lines[key] = strings.TrimSpace(text)
		}
		if lines["ECN"] != c.ecn || lines["DSCP"] != c.dscp {
			t.Errorf("%+v: ECN %q, DSCP %q in\n%s", c.tunnel, lines["ECN"], lines["DSCP"], b.String())
		}
	}
}
