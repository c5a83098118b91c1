package protocol

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// hub is a machine with many peers towards which it has keys of its own, and one of those.
type hub struct {
	t   *testing.T
	m   *Machine
	one *end  // the far end of peer
	p   *Peer // in m
	now time.Time
}

const spokes = 100

func newHub(t *testing.T) *hub {
	h := &hub{t: t, m: New(Config{PrivateKey: NewPrivateKey()}), now: start}
	for i := range spokes {
		own, far := NewPrivateKey(), NewPrivateKey()
		p := h.add(PeerConfig{PrivateKey: own, PublicKey: far.Public()})
		if i == 0 {
			h.p, h.one = p, newEnd(t, far, PeerConfig{PublicKey: own.Public(), Endpoint: addrB}, addrA)
		}
	}
	return h
}

func (h *hub) add(c PeerConfig) *Peer {
	h.t.Helper()
	p, err := h.m.AddPeer(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// comes has the one peer begin a handshake from an address.
func (h *hub) comes(from netip.AddrPort) error {
	h.t.Helper()
	h.one.p.timers.handshake, h.one.p.initiated = time.Time{}, time.Time{} // whatever its pace
	for _, w := range h.p.ways {
		w.answered = time.Time{}
	}
	h.one.p.Initiate(h.now)
	out := h.one.p.Tick(h.now)
	if len(out) != 1 {
		h.t.Fatalf("%d messages", len(out))
	}
	return h.m.Receive(h.now, from, out[0]).Err
}

// exhaust has strangers everywhere use up what may be searched for from any address.
func (h *hub) exhaust() {
	for h.m.to.anywhere.take(h.now, anywhere().Addr(), spokes) {
	}
}

// flood asks for searches for a time, at a rate a second, from addresses in turn, and returns how many were made.
func (s *search) flood(d time.Duration, rate int, from func(i int) netip.AddrPort) (now time.Time, made int) {
	now = start
	for i := range int(d.Seconds() * float64(rate)) {
		now = now.Add(time.Second / time.Duration(rate))
		if s.take(now, from(i).Addr(), spokes) {
			made++
		}
	}
	return now, made
}

// of returns addresses in n networks.
func of(n int) func(i int) netip.AddrPort {
	return func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(i % n), byte(i / n)}), uint16(i))
	}
}

// sameHost is addrA's host with another port.
func sameHost() netip.AddrPort { return netip.AddrPortFrom(addrA.Addr(), addrA.Port()+1) }

// Garbage may not make this end try many keys many times.
func TestSearchIsLimited(t *testing.T) {
	h := newHub(t)
	garbage := make([]byte, initiationLen)
	garbage[0] = typeInitiation
	searched := 0
	for range 10_000 {
		h.now = h.now.Add(10 * time.Microsecond)
		if err := h.m.Receive(h.now, elsewhere, garbage).Err; errors.Is(err, ErrOtherKey) {
			searched++
		}
	}
	if most := int(searchBurst+searchRate/10)/spokes + 1; searched > most || searched < most/3 {
		t.Errorf("%d searches in 0.1 s, at most %d are allowed", searched, most)
	}
}

// However many networks ask, all that may be searched for is.
func TestSearchIsUsed(t *testing.T) {
	for name, from := range map[string]func(int) netip.AddrPort{
		"one network": of(1), "eight": of(8), "everywhere": func(int) netip.AddrPort { return anywhere() },
	} {
		var s search
		_, made := s.flood(10*time.Second, 10_000, from)
		if most := int(searchBurst+10*searchRate)/spokes + 1; made > most || made < most*3/4 {
			t.Errorf("%s: %d searches in 10 s, at most %d are allowed, and not much less", name, made, most)
		}
		if n := len(s.used); n > maxNetworks {
			t.Errorf("%s: %d networks are remembered", name, n)
		}
	}
}

// It keeps no peer out that was at its address before, on whatever port, or is expected there, whatever
// has become of other peers since.
func TestFloodLetsKnownIn(t *testing.T) {
	places := []netip.AddrPort{addrB, addrA}
	for name, know := range map[string]func(h *hub){
		"heard": func(h *hub) {
			if err := h.comes(addrA); err != nil {
				t.Fatal(err)
			}
		},
		"endpoint":    func(h *hub) { h.p.SetEndpoint(addrA) },
		"places":      func(h *hub) { h.p.SetPlaces(places) },
		"handed over": func(h *hub) { h.p.TakeUp(h.now, &Handover{Endpoint: addrA}, 0) },
		"keys changed": func(h *hub) {
			h.p.SetEndpoint(addrA)
			keys := append([]Keys{{PrivateKey: NewPrivateKey(), PeerPublicKey: NewPrivateKey().Public()}}, h.p.keys...)
			if _, err := h.p.SetKeys(h.now, keys); err != nil {
				t.Fatal(err)
			}
		},
		"made anew": func(h *hub) {
			if err := h.comes(addrA); err != nil {
				t.Fatal(err)
			}
			c := h.p.keys[0]
			h.m.RemovePeer(h.p)
			h.p = h.add(PeerConfig{Keys: []Keys{c}})
		},
	} {
		for change, others := range map[string]func(h *hub){
			"no change": func(*hub) {},
			"another is added": func(h *hub) {
				h.add(PeerConfig{PrivateKey: NewPrivateKey(), PublicKey: NewPrivateKey().Public()})
			},
			"another is removed": func(h *hub) {
				h.m.RemovePeer(h.add(PeerConfig{PrivateKey: NewPrivateKey(), PublicKey: NewPrivateKey().Public()}))
			},
		} {
			t.Run(name+", "+change, func(t *testing.T) {
				h := newHub(t)
				know(h)
				others(h)
				for _, from := range []netip.AddrPort{addrA, sameHost()} {
					h.exhaust()
					if err := h.comes(from); err != nil {
						t.Errorf("from %v: %v", from, err)
					}
				}
			})
		}
	}
}

// A peer that comes from a new address gets in while a few networks ask for more than there is, and not while
// there is nothing left.
func TestFloodOfFewNetworksLetsNewIn(t *testing.T) {
	h := newHub(t)
	for _, networks := range []int{1, 4, 16, 40} {
		h.m.to.anywhere = search{}
		h.now, _ = h.m.to.anywhere.flood(20*time.Second, 20_000, of(networks))
		if err := h.comes(elsewhere); err != nil {
			t.Errorf("%d networks: %v", networks, err)
		}
		h.m.to.known.keep(nil)
	}
	h.exhaust()
	if err := h.comes(addrA); !errors.Is(err, errTooMany) {
		t.Error(err)
	}
}

// Several tunnels to one peer come from one port, and several peers from one address.
func TestOnePortOfSeveral(t *testing.T) {
	h := newHub(t)
	own, far := NewPrivateKey(), NewPrivateKey()
	p := h.add(PeerConfig{PrivateKey: own, PublicKey: far.Public()})
	h.p.SetEndpoint(addrA)
	p.SetEndpoint(addrA)
	before := h.m.to.anywhere.left.tokens + h.m.to.nearby.left.tokens
	if err := h.comes(addrA); err != nil {
		t.Fatal(err)
	}
	q := newEnd(t, far, PeerConfig{PublicKey: own.Public(), Endpoint: addrB}, addrA)
	q.p.Initiate(h.now)
	if r := h.m.Receive(h.now, addrA, q.p.Tick(h.now)[0]); r.Err != nil {
		t.Fatal(r.Err)
	}
	if after := h.m.to.anywhere.left.tokens + h.m.to.nearby.left.tokens; after != before {
		t.Error("they were searched for")
	}
}

// What strangers and peers that move make this end remember is bounded, and goes with the peers.
func TestKnownIsBounded(t *testing.T) {
	h := newHub(t)
	for range 2 * maxKnown {
		h.now = h.now.Add(10 * time.Second)
		if err := h.comes(anywhere()); err != nil {
			t.Fatal(err)
		}
	}
	k := &h.m.to.known
	if len(k.at) > maxKnown || len(k.of) != 1 || len(k.hosts) > maxKnown {
		t.Errorf("%d addresses, %d key pairs, %d hosts", len(k.at), len(k.of), len(k.hosts))
	}
	h.m.RemovePeer(h.p)
	if len(k.at) != 0 || len(k.of) != 0 || len(k.hosts) != 0 {
		t.Errorf("%d addresses, %d key pairs, %d hosts are left of no peer", len(k.at), len(k.of), len(k.hosts))
	}
}
