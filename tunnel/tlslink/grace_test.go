package tlslink

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// answeredAgo lets a guest in from an address that was answered a while ago.
func answeredAgo(t *testing.T, g *gate, addr string, ago, rtt time.Duration) (*guest, *fakeConn) {
	t.Helper()
	v, c := enterFrom(t, g, addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	v.put(answered)
	v.rtt, v.answered = rtt, g.strangers.now().Add(-ago)
	return v, c
}

// A peer with a long round trip keeps its place for some of these in a flood from as many networks as half of the places are. Who
// makes its own look long takes no place from those who had less than half a second.
func TestLongRoundTripsHaveGrace(t *testing.T) {
	const ms = time.Millisecond
	type age struct{ ago, rtt time.Duration }
	for name, c := range map[string]struct {
		peer, flood age
		last        bool // the peer was answered after the others
		kept        bool
	}{
		"long round trip":              {peer: age{600 * ms, 500 * ms}, flood: age{550 * ms, 0}, kept: true},
		"it had time for three":        {peer: age{1500 * ms, 500 * ms}, flood: age{550 * ms, 0}},
		"a very long one has a bound":  {peer: age{2000 * ms, time.Hour}, flood: age{550 * ms, 0}},
		"short round trip":             {peer: age{600 * ms, 10 * ms}, flood: age{550 * ms, 0}},
		"beside those that look far":   {peer: age{400 * ms, 10 * ms}, flood: age{1900 * ms, time.Hour}, last: true, kept: true},
		"all are far, or look like it": {peer: age{600 * ms, 500 * ms}, flood: age{550 * ms, time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			now := time.Now()
			g.strangers.now = func() time.Time { return now } // however long the test takes
			networks := 0
			next := func() string {
				networks++
				return fmt.Sprintf("%d.%d.1.1", 20+networks/200, networks%200)
			}
			var peer *fakeConn
			enters := func() { _, peer = answeredAgo(t, g, "198.51.100.9", c.peer.ago, c.peer.rtt) }
			if !c.last {
				enters()
			}
			for range 300 {
				answeredAgo(t, g, next(), c.flood.ago, c.flood.rtt)
			}
			if c.last {
				enters()
			}
			for g.size() < strangerPlaces {
				enterFrom(t, g, next())
			}
			for range 20 { // each takes the place of an answered one
				enterFrom(t, g, next())
			}
			if peer.closed == c.kept {
				t.Errorf("kept: %v", !peer.closed)
			}
			if n := g.strangers.guests[answered].Len(); n != 281 || g.size() > strangerPlaces {
				t.Errorf("%d of %d are answered, want 281", n, g.size())
			}
		})
	}
}

// In a fuller network nobody has grace.
func TestGraceIsAmongEqualNetworks(t *testing.T) {
	g := newGate()
	for range 2 {
		answeredAgo(t, g, "203.0.113.7", 100*time.Millisecond, time.Hour)
	}
	v, _ := answeredAgo(t, g, "198.51.100.9", time.Hour, 0)
	g.mu.Lock()
	defer g.mu.Unlock()
	if worst := g.strangers.worst([]stage{answered}, nil); worst == v {
		t.Error("the one that is alone in its network goes")
	}
}

// The kernel says how long the handshake took.
func TestRoundTripOfAnAcceptedConnection(t *testing.T) {
	here, _ := tcpPair(t)
	if rtt := roundTrip(here); rtt <= 0 || rtt > patience {
		t.Errorf("%v", rtt)
	}
	if rtt := roundTrip(&fakeConn{addr: net.TCPAddrFromAddrPort(netip.AddrPort{})}); rtt != 0 {
		t.Errorf("%v of what is no socket", rtt)
	}
}
