package tlslink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	addr   net.Addr
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return c.addr }
func (c *fakeConn) Close() error         { c.closed = true; return nil }

// enterFrom lets a connection in, and fails if it isn't.
func enterFrom(t *testing.T, g *gate, addr string) (*guest, *fakeConn) {
	t.Helper()
	c := &fakeConn{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1))}
	v, ok := g.enter(c)
	if !ok {
		t.Fatalf("%s was refused", addr)
	}
	return v, c
}

func TestSources(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := source(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
}

// A connection that was there before a flood keeps its place, whatever the networks
// that the flood comes from.
func TestFullestNetworkLosesPlaces(t *testing.T) {
	for name, at := range map[string]func(i int) string{
		"one address":       func(i int) string { return "203.0.113.7" },
		"a /24":             func(i int) string { return fmt.Sprintf("203.0.113.%d", i%256) },
		"40 sources":        func(i int) string { return fmt.Sprintf("%d.1.2.3", 1+i%40) },
		"a /64":             func(i int) string { return fmt.Sprintf("2001:db8::%x", 1+i) },
		"a /56":             func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%256) },
		"a /48":             func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%65536) },
		"a /32 of a /48 to": func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i%65536) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			_, v4 := enterFrom(t, g, "198.51.100.9")
			_, v6 := enterFrom(t, g, "2001:ffff::9")
			for i := range 1500 {
				g.enter(&fakeConn{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(at(i)), 1))})
			}
			if v4.closed || v6.closed || g.size() > strangerPlaces {
				t.Fatalf("displaced: %v, %v; %d places taken", v4.closed, v6.closed, g.size())
			}
		})
	}
}

// Many peers behind one address, as behind a NAT, may all come back at once; as many connections of a stranger's address may not.
func TestManyPeersOfOneSource(t *testing.T) {
	g := newGate()
	const peers = 50
	var links [peers]whereabouts
	for i := range links {
		g.known.sawPeer(&links[i], netip.MustParseAddr("198.51.100.9"))
	}
	for addr, want := range map[string]int{"198.51.100.9": peers, "198.51.100.10": perSource} {
		var conns []*fakeConn
		for range peers {
			c := &fakeConn{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1))}
			if v, ok := g.enter(c); !ok || g.await(t.Context(), v) != nil {
				c.Close()
			}
			conns = append(conns, c)
		}
		in := 0
		for _, c := range conns {
			if !c.closed {
				in++
			}
		}
		if in != want {
			t.Errorf("%s: %d of %d connections have places, want %d", addr, in, peers, want)
		}
	}
}

// With a network for each of them, those go that have said nothing.
func TestSilentGoFirst(t *testing.T) {
	g := newGate()
	waits, waiting := enterFrom(t, g, "198.51.100.9")
	if err := g.await(context.Background(), waits); err != nil {
		t.Fatal(err)
	}
	_, fresh := enterFrom(t, g, "198.51.101.9")
	for i := range strangerPlaces - 2 {
		enterFrom(t, g, fmt.Sprintf("%d.%d.1.1", 10+i/256, i%256))
	}
	enterFrom(t, g, "9.9.9.9")
	if !fresh.closed || waiting.closed {
		t.Fatalf("the oldest silent one is there: %v; one that was answered is not: %v", !fresh.closed, waiting.closed)
	}
}

// The places of known addresses are theirs, and they get them back where they were.
func TestKnownHavePlaces(t *testing.T) {
	g := newGate()
	var w whereabouts
	g.known.resolved(&w, "a:1", []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::1]:443")})
	g.known.sawPeer(&w, netip.MustParseAddr("192.0.2.2"))
	var peers []*fakeConn
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::2"} {
		_, c := enterFrom(t, g, a)
		peers = append(peers, c)
	}
	for i := range 5000 { // each its own network, so that theirs are no fuller
		g.enter(&fakeConn{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(1 + i/256), byte(i), 1, 1}), 1))})
	}
	for _, c := range peers {
		if c.closed {
			t.Errorf("%v was displaced", c.addr)
		}
	}
	g.known.resolved(&w, "a:1", []netip.AddrPort{netip.MustParseAddrPort("192.0.2.9:443")})
	for i := range maxSeen {
		g.known.sawPeer(&w, netip.AddrFrom4([4]byte{192, 0, 3, byte(i)}))
	}
	for a, want := range map[string]bool{"192.0.2.1": false, "192.0.2.2": false, "192.0.2.9": true, "192.0.3.0": true} {
		if got := g.known.has(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s is known: %v, want %v", a, got, want)
		}
	}
	g.known.forget(&w)
	g.known.sawPeer(&w, netip.MustParseAddr("192.0.2.2"))
	if len(g.known.count) > 0 {
		t.Fatalf("still known: %v", g.known.count)
	}
}

// Each network has its turn, however many of another wait.
func TestNetworksTakeTurns(t *testing.T) {
	g := newGate()
	g.mu.Lock()
	defer g.mu.Unlock()
	waits := func(addr string) *guest {
		g.mu.Unlock()
		v, _ := enterFrom(t, g, addr)
		g.mu.Lock()
		v.put(waiting)
		return v
	}
	for i := range 100 {
		waits(fmt.Sprintf("203.0.113.%d", i))
	}
	p := g.strangers
	next := func() *guest {
		v := p.turns.next(p.guests[waiting])
		v.put(answered)
		return v
	}
	next()
	for _, addr := range []string{"198.51.100.9", "2001:db8::1"} {
		if peer := waits(addr); next() != peer {
			t.Errorf("%s does not have its turn", addr)
		}
	}
	if v := next(); v.neighborhood().String() != "203.0.113.0/24" {
		t.Errorf("%v has its turn", v.neighborhood())
	}
}

// No more handshakes than so many a second are worked on.
func TestHandshakesHaveARate(t *testing.T) {
	g := newGate()
	began := time.Now()
	var waiters sync.WaitGroup
	const more = 100
	for i := range handshakeBurst + more {
		v, _ := enterFrom(t, g, fmt.Sprintf("203.%d.113.1", i))
		waiters.Go(func() {
			if err := g.await(t.Context(), v); err != nil {
				t.Error(err)
			}
		})
	}
	waiters.Wait()
	if took, least := time.Since(began), more*time.Second/handshakeRate; took < least {
		t.Fatalf("%d handshakes in %v: at least %v", handshakeBurst+more, took, least)
	}
}

func TestDisplacedWaitersAreTold(t *testing.T) {
	g := newGate()
	for range handshakeBurst {
		g.strangers.turns.take(time.Now())
	}
	v, c := enterFrom(t, g, "203.0.113.1")
	told := make(chan error, 1)
	g.mu.Lock()
	v.displace()
	g.mu.Unlock()
	go func() { told <- g.await(context.Background(), v) }()
	if err := <-told; !errors.Is(err, errDisplaced) || !c.closed {
		t.Fatalf("%v", err)
	}
	g.leave(v) // does nothing
	if g.size() != 0 {
		t.Fatal("a place is still taken")
	}
}

// The log says of an attack that there is one, and goes on to say what concerns peers.
func TestComplaintsAreBounded(t *testing.T) {
	var out strings.Builder
	var k known
	var w whereabouts
	c := newComplaints(slog.New(slog.NewTextHandler(&out, nil)), &k)
	now := time.Now()
	for i := range 65536 {
		c.refused(now, netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}), 1), errors.New("x"))
	}
	if n := strings.Count(out.String(), "\n"); n != strangerLines {
		t.Fatalf("%d lines, want %d", n, strangerLines)
	}
	k.sawPeer(&w, netip.MustParseAddr("192.0.2.1"))
	for range 2 {
		c.refused(now, netip.MustParseAddrPort("192.0.2.1:1"), errors.New("of a peer"))
	}
	if n := strings.Count(out.String(), "of a peer"); n != 1 || !strings.Contains(out.String(), "others=") {
		t.Fatalf("%d lines about a peer: %s", n, out.String())
	}
	c.refused(now.Add(logInterval), netip.MustParseAddrPort("192.0.2.1:1"), errors.New("of a peer"))
	if n := strings.Count(out.String(), "of a peer"); n != 2 {
		t.Fatalf("%d lines, want another one after a while", n)
	}
}

func TestPendingIsBoundedForEachPeer(t *testing.T) {
	var p pending
	first, other := &fakeConn{}, &fakeConn{}
	leave := p.enter("a", 2, first)
	p.enter("b", 2, other)
	p.enter("a", 2, &fakeConn{})
	last := p.enter("a", 2, &fakeConn{})
	if !first.closed || other.closed || p.size("a") != 2 {
		t.Fatalf("oldest closed: %v, other peer's closed: %v, %d pending", first.closed, other.closed, p.size("a"))
	}
	leave()
	last()
	last()
	if p.size("a") != 1 || p.size("b") != 1 {
		t.Fatalf("%d and %d pending", p.size("a"), p.size("b"))
	}
}

// Both ends know the other's address: one from its remotes, the other having seen it.
func TestPeersBecomeKnown(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	if b.endpoint.gate.known.has(netip.MustParseAddr("127.0.0.1")) {
		t.Fatal("known before it was seen")
	}
	a.start(secretTrust(0), "localhost:1", b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	for _, e := range []*end{a, b} {
		if !e.endpoint.gate.known.has(netip.MustParseAddr("127.0.0.1")) {
			t.Errorf("%s does not know its peer's address", e.cfg.Name)
		}
	}
	b.halt(nil)
	if b.endpoint.gate.known.has(netip.MustParseAddr("127.0.0.1")) {
		t.Fatal("still known without the link")
	}
}

// When descriptors are scarce a stranger's is given back before a peer's.
func TestRoomIsMadeByStrangers(t *testing.T) {
	g := newGate()
	var w whereabouts
	g.known.sawPeer(&w, netip.MustParseAddr("192.0.2.1"))
	_, peer := enterFrom(t, g, "192.0.2.1")
	_, stranger := enterFrom(t, g, "203.0.113.1")
	g.makeRoom()
	if !stranger.closed || peer.closed {
		t.Fatalf("stranger's closed: %v, peer's: %v", stranger.closed, peer.closed)
	}
	g.makeRoom()
	g.makeRoom()
	if !peer.closed || g.size() != 0 {
		t.Fatalf("%d are in", g.size())
	}
}
