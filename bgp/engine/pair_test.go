package engine

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// Tests run speakers on loopback addresses and a port that needs no root. Each
// pair of speakers gets addresses of its own.
const testPort = 17900

var lastNet atomic.Uint32

// testNet keeps test processes that run at the same time apart.
var testNet = byte(os.Getpid()%250 + 1)

// testAddrs returns two addresses that no other test uses.
func testAddrs() (a, b netip.Addr) {
	n := byte(lastNet.Add(1))
	return netip.AddrFrom4([4]byte{127, testNet, n, 1}), netip.AddrFrom4([4]byte{127, testNet, n, 2})
}

// testLog sends a speaker's log to the test's.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }

func testLogger(t testing.TB, name string) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, nil)).With("speaker", name)
}

// startSpeaker runs a speaker until the test ends. A test starts all of its
// speakers before the first session: GoBGP writes package variables when it
// starts and reads them when routes come in.
func startSpeaker(t testing.TB, asn uint32, id string, edit ...func(*Config)) *Speaker {
	t.Helper()
	cfg := Config{ASN: asn, RouterID: netip.MustParseAddr(id), Logger: testLogger(t, id)}
	for _, e := range edit {
		e(&cfg)
	}
	s, err := newSpeaker(cfg, testPort)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(40 * time.Second):
			t.Error("Run did not return")
		}
	})
	return s
}

// busy is how many times longer something may take than on a quiet machine.
const busy = 4

// eventually waits until check returns "", and fails with what it returned
// last otherwise. limit is for a quiet machine.
func eventually(t testing.TB, limit time.Duration, check func() string) {
	t.Helper()
	limit *= busy
	deadline := time.Now().Add(limit)
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", limit, wrong)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func statusOf(s *Speaker, name string) NeighborStatus {
	for _, n := range s.Neighbors() {
		if n.Name == name {
			return n
		}
	}
	return NeighborStatus{}
}

func waitState(t testing.TB, s *Speaker, name, state string) {
	t.Helper()
	eventually(t, 40*time.Second, func() string { return wantState(s, name, state) })
}

// prefixes parses a list.
func prefixes(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// waitRoutes waits until s has exactly these routes, each from one neighbor.
func waitRoutes(t testing.TB, s *Speaker, from string, want ...string) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		routes := s.Routes()
		if len(routes) != len(want) {
			return "routes are " + describe(routes)
		}
		for _, p := range prefixes(want...) {
			if routes[p].Best() != from {
				return "routes are " + describe(routes)
			}
		}
		return ""
	})
}

func describe(routes map[netip.Prefix]Route) string {
	text := "["
	for p, r := range routes {
		text += " " + p.String() + " from " + r.Best()
	}
	return text + " ]"
}

// connect makes a and b neighbors of one another, with names "a" and "b" for
// the far ends, and waits for the session.
func connect(t testing.TB, a, b *Speaker, editA, editB func(*Neighbor)) {
	t.Helper()
	addrA, addrB := testAddrs()
	connectAt(t, a, b, addrA, addrB, editA, editB)
	waitState(t, a, "b", "established")
	waitState(t, b, "a", "established")
}

func connectAt(t testing.TB, a, b *Speaker, addrA, addrB netip.Addr, editA, editB func(*Neighbor)) {
	t.Helper()
	na := Neighbor{Name: "b", LocalAddr: addrA, PeerAddr: addrB, ASN: b.cfg.ASN, Import: Policy{Any: true}, Export: Policy{Own: true}}
	nb := Neighbor{Name: "a", LocalAddr: addrB, PeerAddr: addrA, ASN: a.cfg.ASN, Import: Policy{Any: true}, Export: Policy{Own: true}}
	if editA != nil {
		editA(&na)
	}
	if editB != nil {
		editB(&nb)
	}
	if err := a.AddNeighbor(t.Context(), na); err != nil {
		t.Fatal(err)
	}
	if err := b.AddNeighbor(t.Context(), nb); err != nil {
		t.Fatal(err)
	}
}

// wantState is a check for eventually.
func wantState(s *Speaker, name, state string) string {
	if st := statusOf(s, name); st.State != state {
		return name + " is " + st.State + ", not " + state + ": " + st.LastError
	}
	return ""
}
