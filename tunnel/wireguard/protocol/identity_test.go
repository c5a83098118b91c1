package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Peers towards which this end has keys of its own, beside one that knows the router:
// each has its sessions, also two with one public key.
func TestOwnKeys(t *testing.T) {
	router, far := NewPrivateKey(), NewPrivateKey()
	own1, own2 := NewPrivateKey(), NewPrivateKey()
	hub := New(Config{PrivateKey: router})
	for i, c := range []struct{ local, remote PrivateKey }{
		{PrivateKey{}, far}, {own1, far}, {own2, far}, {own2, NewPrivateKey()}, {router, NewPrivateKey()},
	} {
		p, err := hub.AddPeer(PeerConfig{PrivateKey: c.local, PublicKey: c.remote.Public(), Endpoint: addrA})
		if err != nil {
			t.Fatalf("peer %d: %v", i, err)
		}
		local := c.local
		if local == (PrivateKey{}) {
			local = router
		}
		if p.LocalPublicKey() != local.Public() {
			t.Errorf("peer %d: this end is %v to it", i, p.LocalPublicKey())
		}
		// Another machine each, so that peer 3 tells whether a wrong one is taken for it.
		m := New(Config{PrivateKey: c.remote})
		q, err := m.AddPeer(PeerConfig{PublicKey: local.Public(), Endpoint: addrB})
		if err != nil {
			t.Fatal(err)
		}
		for _, begins := range []string{"far", "hub"} {
			n := &network{t: t, now: start.Add(time.Duration(i+1) * time.Minute), a: &end{m: m, p: q, addr: addrA}, b: &end{m: hub, p: p, addr: addrB}}
			from := n.a
			if begins == "hub" {
				n.now = n.now.Add(10 * time.Second)
				from = n.b
			}
			n.handshake(from)
			n.exchange(byte(i))
		}
	}
}

func TestKeysThatClash(t *testing.T) {
	router, own, far := NewPrivateKey(), NewPrivateKey(), NewPrivateKey()
	m := New(Config{PrivateKey: router})
	for _, c := range []PeerConfig{{PublicKey: far.Public()}, {PrivateKey: own, PublicKey: far.Public()}} {
		if _, err := m.AddPeer(c); err != nil {
			t.Fatal(err)
		}
	}
	for want, c := range map[string]PeerConfig{
		"another peer has it":       {PublicKey: far.Public()},
		"has it":                    {PrivateKey: own, PublicKey: far.Public()},
		"this router's own":         {PublicKey: router.Public()},
		"router's own":              {PrivateKey: own, PublicKey: router.Public()},
		"own":                       {PrivateKey: own, PublicKey: own.Public()},
		"low order":                 {PrivateKey: own},
		"both ends":                 {PrivateKey: far, PublicKey: own.Public()},
		"both ends of a tunnel":     {PublicKey: own.Public()},
		"ends of a tunnel are here": {PrivateKey: far, PublicKey: NewPrivateKey().Public()},
	} {
		if _, err := m.AddPeer(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := New(Config{}).AddPeer(PeerConfig{PublicKey: far.Public()}); err == nil {
		t.Error("a machine without a key")
	}
}

// Everything that this end sends, sent back to it by whoever is on the way: nothing is
// accepted, nor does it change anything.
func TestReflectedMessages(t *testing.T) {
	own, far := NewPrivateKey(), NewPrivateKey()
	for name, o := range map[string]option{
		"router's keys": func(*PeerConfig, *PeerConfig) {},
		"own keys": func(a, b *PeerConfig) {
			a.PrivateKey, a.PublicKey = own, far.Public()
			b.PrivateKey, b.PublicKey = far, own.Public()
		},
	} {
		n := newNetwork(t, o)
		seen := 0
		n.lose = func(from *end, msg []byte) bool {
			before := from.p.Status(n.now)
			from.p.NextDeadline()
			for _, at := range []netip.AddrPort{addrA, addrB, elsewhere} {
				r := from.m.Receive(n.now, at, bytes.Clone(msg))
				if r.Peer != nil || r.Packet != nil || r.Reply != nil || r.Err == nil {
					t.Errorf("%s: a message of type %d, reflected: %+v", name, msg[0], r)
				}
			}
			if after := from.p.Status(n.now); after != before {
				t.Errorf("%s: a message of type %d, reflected, changed %+v to %+v", name, msg[0], before, after)
			}
			seen |= 1 << msg[0]
			return false
		}
		n.handshake(n.a)
		n.exchange(1)
		n.pass(time.Minute)
		n.flood()
		n.handshakeUnderLoad(n.a)
		if seen != 1<<typeInitiation|1<<typeResponse|1<<typeCookie|1<<typeData {
			t.Errorf("%s: types seen %b", name, seen)
		}
	}
}

// handshakeUnderLoad is one that gets a cookie first.
func (n *network) handshakeUnderLoad(from *end) {
	n.t.Helper()
	before := n.types(typeCookie)
	from.p.Initiate(n.now)
	n.settle()
	if n.types(typeCookie) != before+1 {
		n.t.Fatal("no cookie")
	}
}

func TestRemovedPeerLeavesItsKeys(t *testing.T) {
	own, far := NewPrivateKey(), NewPrivateKey()
	m := New(Config{PrivateKey: NewPrivateKey()})
	p, err := m.AddPeer(PeerConfig{PrivateKey: own, PublicKey: far.Public()})
	if err != nil {
		t.Fatal(err)
	}
	q := newEnd(t, far, PeerConfig{PublicKey: own.Public(), Endpoint: addrB}, addrA)
	q.p.Initiate(start)
	if r := m.Receive(start, addrA, q.p.Tick(start)[0]); r.Reply == nil {
		t.Fatal(r.Err)
	}
	m.RemovePeer(p)
	m.RemovePeer(p)
	later := start.Add(10 * time.Second)
	q.p.Initiate(later)
	if r := m.Receive(later, addrA, q.p.Tick(later)[0]); !errors.Is(r.Err, ErrOtherKey) || r.Reply != nil {
		t.Errorf("%+v", r)
	}
	if _, err := m.AddPeer(PeerConfig{PrivateKey: far, PublicKey: own.Public()}); err != nil {
		t.Error(err)
	}
}

// What an initiation costs that is for nobody, by the number of peers towards which this
// end has keys of its own.
func BenchmarkGarbageInitiation(b *testing.B) {
	for _, peers := range []int{0, 1, 10, 1000} {
		b.Run(fmt.Sprint(peers), func(b *testing.B) {
			m := New(Config{PrivateKey: NewPrivateKey()})
			for range peers {
				if _, err := m.AddPeer(PeerConfig{PrivateKey: NewPrivateKey(), PublicKey: NewPrivateKey().Public()}); err != nil {
					b.Fatal(err)
				}
			}
			garbage := make([]byte, initiationLen)
			garbage[0] = typeInitiation
			now := start
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Second) // so that each is searched for
				m.Receive(now, elsewhere, garbage)
			}
		})
	}
}
