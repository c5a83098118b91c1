package wireguard

import (
	"strings"
	"testing"
	"time"
)

// TestRouteMTU has the route to the peer take less than the tunnel's packets need, and then as much again.
func TestRouteMTU(t *testing.T) {
	p := &fakePaths{mtu: 1500}
	s := newStage(t, LinkConfig{Remotes: []string{farAddr.String()}, Keepalive: 2 * time.Second, DeadAfter: time.Minute, Paths: p}, 2*time.Second)
	s.at(10 * time.Second)
	before := int(s.l.flow.Limit.Load())
	if before != s.l.mtu {
		t.Fatalf("packets of %d bytes, want %d", before, s.l.mtu)
	}
	for _, c := range []struct{ route, want int }{{1400, 1340}, {1380, 1320}, {1200, 1280}, {1500, before}} {
		p.told(c.route)
		s.pass(0)
		if got := int(s.l.flow.Limit.Load()); got != c.want {
			t.Errorf("a route of %d bytes: packets of %d, want %d", c.route, got, c.want)
		}
		if hint := s.l.Status().Hint; strings.Contains(hint, "the underlay's route to the peer has an MTU of") != (c.want < before) {
			t.Errorf("a route of %d bytes: hint %q", c.route, hint)
		}
	}
}
