package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	bgpjudge "warren/bgp/judge"
	"warren/internal/config"
	"warren/lab/topo"
)

// TestFullTable reads the feeder's bytes as Warren does those of a peer.
func TestFullTable(t *testing.T) {
	const n = 3*perWithdrawal + 5 // neither six nor a thousand divides it
	router := netip.MustParseAddr(routerID)
	from := source{asn: feedASN, addr: netip.MustParseAddr("10.98.0.2")}
	s := bgpjudge.New(bgpjudge.Config{LocalASN: fullRouterASN, PeerASN: uint32(from.asn), RouterID: router,
		Policy: bgpjudge.Policy{Accept: func(netip.Prefix) bool { return true }}})
	s.ToPeer(nil, append(openMessage(fullRouterASN, router), keepaliveMessage()...))
	feed := func(b []byte) bgpjudge.Counts {
		t.Helper()
		if _, err := s.FromPeer(nil, b); err != nil {
			t.Fatal(err)
		}
		return s.Counts()
	}
	feed(append(openMessage(from.asn, from.addr), keepaliveMessage()...))
	if !s.Established() || !s.Negotiated()[bgpjudge.IPv4] || s.Negotiated()[bgpjudge.IPv6] {
		t.Fatalf("established %v, families %v; want IPv4 alone", s.Established(), s.Negotiated())
	}

	faultless := func(c bgpjudge.Counts, accepted int) {
		t.Helper()
		if got := c.Families[bgpjudge.IPv4]; got.Accepted != accepted || got.Received != accepted {
			t.Fatalf("%+v, want %d accepted", c, accepted)
		}
	}
	faultless(feed(fullTable(n, from)), n)
	if !s.EndOfRIB()[bgpjudge.IPv4] {
		t.Error("no End-of-RIB")
	}
	for i, want := range map[int]bool{0: true, n - 1: true, n: false} {
		if got := s.Accepted(fullPrefix(i)); got != want {
			t.Errorf("prefix number %d, %v: accepted %v", i, fullPrefix(i), got)
		}
	}
	faultless(feed(appendWithdrawal(nil, 7, 8)), n-1)
	if s.Accepted(fullPrefix(7)) {
		t.Errorf("%v was withdrawn, and is there", fullPrefix(7))
	}
	faultless(feed(appendAnnouncement(nil, 7, 8, from)), n)
	from.path = 1
	faultless(feed(fullTable(n, from)), n) // the same prefixes by other paths
	faultless(feed(fullWithdrawal(n)), 0)
}

func TestFullPrefixes(t *testing.T) {
	for i, want := range map[int]string{0: "16.0.0.0/24", 256: "16.1.0.0/24", 1_000_000 - 1: "31.66.63.0/24"} {
		if got := fullPrefix(i).String(); got != want {
			t.Errorf("number %d is %s, want %s", i, got, want)
		}
	}
	if last := fullPrefix(maxPrefixes - 1); !last.Addr().Less(netip.MustParseAddr("100.64.0.0")) {
		t.Errorf("the last prefix, %v, is for other uses", last)
	}
}

// TestFullConfigurationIsValid keeps the file in step with what warren takes.
func TestFullConfigurationIsValid(t *testing.T) {
	r := &topo.Warren{Dir: filepath.Join(t.TempDir(), "router")} // the test's own has the mode that the umask gives it
	if err := os.MkdirAll(filepath.Join(r.Dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	var feeders []*feedLine
	for i := range 2 {
		addr := netip.AddrFrom4([4]byte{10, 98, byte(i), 2})
		feeders = append(feeders, &feedLine{source: source{asn: feedASN + uint16(i), addr: addr}, ifname: fmt.Sprintf("feed%d", i)})
	}
	if err := configureFull(r, feeders, 12345); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(r.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Peers) != 2 || c.Peers[1].BGP.MaxPrefixes != 12345 {
		t.Errorf("%+v", c.Peers)
	}
}

// TestScan has routes come out of order: the scan's end is not before the last is there.
func TestScan(t *testing.T) {
	const n = 5
	there := map[netip.Prefix]bool{}
	s := &scan{has: func(p netip.Prefix) bool { return there[p] }, prefixes: n, present: true}
	for _, i := range []int{n - 1, 0, 2, 3, 1} {
		if s.look() == nil {
			t.Fatalf("all there before number %d", i)
		}
		there[fullPrefix(i)] = true
	}
	if err := s.look(); err != nil {
		t.Error(err)
	}
	if err := (&scan{has: s.has, first: n, prefixes: n}).look(); err != nil {
		t.Errorf("prefixes behind those that are there: %v", err)
	}
	gone := &scan{has: s.has, prefixes: n}
	for _, i := range []int{4, 3, 2, 1, 0} {
		if gone.look() == nil {
			t.Fatalf("all gone before number %d", i)
		}
		delete(there, fullPrefix(i))
	}
	if err := gone.look(); err != nil {
		t.Error(err)
	}
}

// TestDocumentsHaveSections is about the real ones: a bench that finds no markers says so at its end.
func TestDocumentsHaveSections(t *testing.T) {
	if err := tunnelSection.check("../../README.md"); err != nil {
		t.Error(err)
	}
	for _, s := range testSuites(t) {
		if err := s.section().check("../../docs/speed.md"); err != nil {
			t.Error(err)
		}
	}
}
