package protocol

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/curve25519"
)

// countDH counts the Diffie-Hellmans from now on.
func countDH(t *testing.T) *atomic.Int64 {
	var n atomic.Int64
	x25519 = func(scalar, point []byte) ([]byte, error) {
		n.Add(1)
		return curve25519.X25519(scalar, point)
	}
	t.Cleanup(func() { x25519 = curve25519.X25519 })
	return &n
}

// anywhere is an address that a sender made up.
func anywhere() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())}), uint16(rand.Uint32()))
}

// withCookie gives a message the MAC of who received a cookie at an address.
func (g *guard) withCookie(now time.Time, msg []byte, from netip.AddrPort) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	cookie := g.cookieLocked(now, from)
	msg = append([]byte(nil), msg...)
	mac := keyedMAC(cookie[:], msg[:len(msg)-macLen])
	copy(msg[len(msg)-macLen:], mac[:])
	return msg
}

// Who knows this router's public key can send initiations that it has to look into. That
// is limited, whether their senders are made up, or a bot net that answers. Peers still
// get through, and packets are not concerned.
func TestFlood(t *testing.T) {
	const seconds, perSecond = 2, 20_000
	for name, bots := range map[string]bool{"made up senders": false, "bots": true} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			n.handshake(n.a)
			stranger := newEnd(t, NewPrivateKey(), PeerConfig{PublicKey: n.b.m.PublicKey(), Endpoint: addrB}, elsewhere)
			stranger.p.Initiate(n.now)
			msg := stranger.p.Tick(n.now)[0]
			n.pass(10 * time.Second)
			dh := countDH(t)
			var looked, cookies, ignored int
			for i := range seconds * perSecond {
				n.now = n.now.Add(time.Second / perSecond)
				from, sent := anywhere(), append([]byte(nil), msg...)
				if bots {
					from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(i % 10_000 >> 8), byte(i % 10_000)}), 1)
					sent = n.b.m.guard.withCookie(n.now, msg, from)
				}
				var stranger *StrangerError
				switch r := n.b.m.Receive(n.now, from, sent); {
				case errors.As(r.Err, &stranger):
					looked++
				case r.Reply != nil:
					cookies++
				default:
					ignored++
				}
				if i%1000 == 0 {
					n.exchange(byte(i))
				}
			}
			t.Logf("of %d a second: %d looked into, %d cookies, %d ignored", perSecond, looked/seconds, cookies/seconds, ignored/seconds)
			if most := int64((seconds + 2) * defaultHandshakes); dh.Load() > most || dh.Load() < most/8 {
				t.Errorf("%d Diffie-Hellmans in %d s, want up to %d", dh.Load(), seconds, most)
			}
			if most := seconds*10_000 + 2000; cookies > most {
				t.Errorf("%d cookies in %d s, want up to %d", cookies, seconds, most)
			}
			if bots {
				return
			}
			// A peer needs a cookie now, and has a session with its second attempt.
			before := n.b.p.Status(n.now).Since
			n.a.p.Initiate(n.now)
			n.pass(rekeyTimeout + maxJitter)
			if since := n.b.p.Status(n.now).Since; !since.After(before) {
				t.Error("a peer does not get through")
			}
		})
	}
}

// A response needs a handshake that we began.
func TestFloodOfResponses(t *testing.T) {
	n := newNetwork(t)
	n.a.p.Initiate(n.now)
	response := n.b.m.Receive(n.now, addrA, n.a.p.Tick(n.now)[0]).Reply
	response[8] ^= 1 // another handshake
	dh := countDH(t)
	for range 10_000 {
		if r := n.a.m.Receive(n.now, addrB, response); r.Err == nil || r.Reply != nil {
			t.Fatalf("%+v", r)
		}
	}
	if dh.Load() > 0 {
		t.Errorf("%d Diffie-Hellmans", dh.Load())
	}
}

// What the two halves of an initiation of a stranger cost, and a cookie.
func BenchmarkStranger(b *testing.B) {
	_, to, _ := benchPair(b)
	m := New(Config{PrivateKey: NewPrivateKey()})
	p, err := m.AddPeer(PeerConfig{PublicKey: to.PublicKey(), Endpoint: addrB})
	if err != nil {
		b.Fatal(err)
	}
	p.Initiate(start)
	msg := p.Tick(start)[0]
	b.Run("admit", func(b *testing.B) {
		now := start
		for b.Loop() {
			now = now.Add(time.Second)
			to.Admit(now, elsewhere, msg)
		}
	})
	b.Run("handshake", func(b *testing.B) {
		for b.Loop() {
			to.Handshake(start, elsewhere, msg, Admitted{me: to.me})
		}
	})
	b.Run("cookie", func(b *testing.B) {
		for b.Loop() {
			to.guard.reply(start, elsewhere, &to.me.keys, msg)
		}
	})
}
