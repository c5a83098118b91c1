package protocol

import (
	"strings"
	"testing"
	"time"
)

// derived are the keys of both ends as they come out of a secret.
type derived struct{ a, b Keys }

func derive(name string) derived {
	a, b, psk := NewPrivateKey(), NewPrivateKey(), PresharedKey(NewPrivateKey())
	return derived{
		a: Keys{Name: name, PrivateKey: a, PeerPublicKey: b.Public(), PresharedKey: psk},
		b: Keys{Name: name, PrivateKey: b, PeerPublicKey: a.Public(), PresharedKey: psk},
	}
}

// derivedNetwork is a network whose ends know each other by some secrets, with a session.
func derivedNetwork(t *testing.T, a, b []Keys) *network {
	t.Helper()
	return newNetwork(t, func(ca, cb *PeerConfig) {
		*ca = PeerConfig{Keys: a, Endpoint: addrB, Keepalive: time.Second}
		*cb = PeerConfig{Keys: b, Keepalive: time.Second}
	})
}

// setKeys changes an end's keys, and says whether its session is over for that.
func (n *network) setKeys(e *end, keys ...Keys) (ended bool) {
	n.t.Helper()
	ended, err := e.p.SetKeys(n.at(e), keys)
	if err != nil {
		n.t.Fatal(err)
	}
	return ended
}

// uses fails unless an end's session uses a key, which is the one at a place of its peer's.
func (n *network) uses(e *end, key string, place int) {
	n.t.Helper()
	s := e.p.Status(n.at(e))
	if !s.Established || s.Key != key || s.KeyPlace != place {
		n.t.Errorf("established %t with %s, at %d; want %s at %d", s.Established, s.Key, s.KeyPlace, key, place)
	}
}

// Old and new at both ends, then new and old, then new alone: there is a session at every
// moment, and it uses the new keys as soon as an end offers them.
func TestKeysAreChangedWithoutAGap(t *testing.T) {
	old, next := derive("old"), derive("new")
	for name, order := range map[string]func(n *network) (first, second *end, firstKeys, secondKeys []Keys){
		"the initiator first": func(n *network) (*end, *end, []Keys, []Keys) {
			return n.a, n.b, []Keys{next.a, old.a}, []Keys{next.b, old.b}
		},
		"the responder first": func(n *network) (*end, *end, []Keys, []Keys) {
			return n.b, n.a, []Keys{next.b, old.b}, []Keys{next.a, old.a}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := derivedNetwork(t, []Keys{old.a}, []Keys{old.b})
			n.handshake(n.a)
			n.pass(10 * time.Second)
			first, second, firstKeys, secondKeys := order(n)
			n.setKeys(first, firstKeys[1], firstKeys[0])
			n.setKeys(second, secondKeys[1], secondKeys[0])
			n.pass(10 * time.Second)
			n.uses(n.a, "old", 1)
			n.uses(n.b, "old", 1)
			n.setKeys(first, firstKeys...)
			n.settle()
			n.uses(n.a, "new", map[*end]int{n.a: 1, n.b: 2}[first])
			n.uses(n.b, "new", map[*end]int{n.b: 1, n.a: 2}[first])
			n.setKeys(second, secondKeys...)
			n.pass(10 * time.Second)
			if n.setKeys(n.a, next.a) || n.setKeys(n.b, next.b) {
				t.Error("the session is over")
			}
			for range 30 { // renewals
				n.pass(20 * time.Second)
				n.uses(n.a, "new", 1)
				n.uses(n.b, "new", 1)
			}
			n.exchange(7)
			if len(n.a.errs)+len(n.b.errs) > 0 {
				t.Errorf("%v, %v", n.a.errs, n.b.errs)
			}
		})
	}
}

// Keys that the session uses are taken away: it is over at once, and another begins with
// those that are left.
func TestRemovedKeysEndTheSession(t *testing.T) {
	old, next := derive("old"), derive("new")
	n := derivedNetwork(t, []Keys{old.a, next.a}, []Keys{old.b, next.b})
	n.handshake(n.a)
	n.uses(n.a, "old", 1)
	n.pass(10 * time.Second)
	if n.setKeys(n.b, old.b, next.b) {
		t.Error("the session is over though nothing was changed")
	}
	n.uses(n.b, "old", 1)
	if !n.setKeys(n.b, next.b) {
		t.Error("the session goes on")
	}
	if s := n.b.p.Status(n.now); s.Established {
		t.Errorf("%+v", s)
	}
	n.settle()
	n.uses(n.a, "new", 2)
	n.uses(n.b, "new", 1)
	n.exchange(7)
}

// A preshared key that comes, goes or is another is another key of the peer.
func TestPresharedKeyThatComesEndsTheSession(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	public := n.a.p.PublicKey()
	if n.setKeys(n.a, Keys{PeerPublicKey: public}) {
		t.Error("nothing was changed")
	}
	for i, psk := range []PresharedKey{{1}, {2}, {}} {
		if !n.setKeys(n.a, Keys{PeerPublicKey: public, PresharedKey: psk}) {
			t.Errorf("change %d: the session goes on", i)
		}
		n.setKeys(n.b, Keys{PeerPublicKey: n.b.p.PublicKey(), PresharedKey: psk})
		n.pass(10 * time.Second)
		n.handshake(n.a)
		n.exchange(byte(i))
	}
}

// An end whose first keys the other does not know comes in with the next ones, and its
// sessions are renewed all the time, though each renewal begins with the first.
func TestLaterKeysAreTried(t *testing.T) {
	unknown, known := derive("unknown"), derive("known")
	n := derivedNetwork(t, []Keys{unknown.a, known.a}, []Keys{known.b})
	n.a.p.Initiate(n.now)
	n.settle()
	if n.a.p.Status(n.now).Established {
		t.Fatal("keys that are not known")
	}
	n.pass(rekeyTimeout + maxJitter)
	for range 60 {
		n.uses(n.a, "known", 2)
		n.uses(n.b, "known", 1)
		n.pass(10 * time.Second)
	}
	n.setKeys(n.b, known.b, unknown.b)
	n.pass(rekeyAfterTime + rekeyTimeout)
	n.uses(n.a, "unknown", 1)
}

// Each time that a handshake is asked for the first keys are tried first, however long the
// others were tried before.
func TestFirstKeysComeFirst(t *testing.T) {
	one, two := derive("one"), derive("two")
	n := derivedNetwork(t, []Keys{one.a, two.a}, []Keys{derive("other").b})
	tried := func() string {
		if n.a.p.ours == nil {
			return "nothing"
		}
		return n.a.p.ours.way.name
	}
	n.a.p.keepalive = 0
	for round := range 3 {
		n.a.p.Initiate(n.now)
		for i, want := range []string{"one", "two", "one", "two"} { // at most 5.3 s one after the other
			n.settle()
			if got := tried(); got != want {
				t.Fatalf("round %d, attempt %d: %s is tried, want %s", round, i, got, want)
			}
			n.pass(rekeyTimeout + maxJitter)
		}
		n.pass(rekeyAttemptTime + 2*rekeyTimeout)
		if !n.a.p.timers.handshake.IsZero() {
			t.Fatal("it has not given up")
		}
	}
}

// What a name stands for is replaced, at one end first: the session stays until it ends, and
// is told to use the old one.
func TestKeysReplacedInPlace(t *testing.T) {
	old, next := derive("file"), derive("file")
	n := derivedNetwork(t, []Keys{old.a}, []Keys{old.b})
	n.handshake(n.a)
	n.pass(10 * time.Second)
	if n.setKeys(n.b, next.b) {
		t.Error("the session is over")
	}
	n.pass(20 * time.Second)
	n.uses(n.b, "file", 0)
	n.exchange(7)
	n.setKeys(n.a, next.a)
	n.pass(10 * time.Second)
	n.uses(n.a, "file", 1)
	n.uses(n.b, "file", 1)
	n.exchange(7)
}

// A router gets another key. Its peers know both, and the session stays.
func TestRouterKeyIsChanged(t *testing.T) {
	n := newNetwork(t, func(a, b *PeerConfig) { a.Keepalive, b.Keepalive = time.Second, time.Second })
	n.handshake(n.a)
	n.pass(10 * time.Second)
	for _, e := range []*end{n.a, n.b} {
		before, key := e.m.PublicKey(), NewPrivateKey()
		other := n.other(e)
		n.setKeys(other, Keys{PeerPublicKey: before}, Keys{PeerPublicKey: key.Public()})
		if err := e.m.SetPrivateKey(n.now, key); err != nil {
			t.Fatal(err)
		}
		if s := e.p.Status(n.now); !s.Established || s.KeyPlace != 1 {
			t.Errorf("the session is gone: %+v", s)
		}
		n.pass(10 * time.Second)
		n.uses(other, key.Public().String(), 2)
		if n.setKeys(other, Keys{PeerPublicKey: key.Public()}) {
			t.Error("the session is over")
		}
		n.pass(10 * time.Minute)
		n.uses(other, key.Public().String(), 1)
		n.exchange(7)
	}
	if err := n.a.m.SetPrivateKey(n.now, n.b.m.me.private); err == nil {
		t.Error("the peer's own key was taken")
	}
}

// Handshakes that cross leave both ends with one session, whichever of several keys each was
// begun with.
func TestCrossedWithDifferentKeys(t *testing.T) {
	for range 8 { // which keys are the greater is chance
		one, two := derive("one"), derive("two")
		n := derivedNetwork(t, []Keys{one.a, two.a}, []Keys{two.b, one.b})
		n.b.p.SetEndpoint(addrA)
		// All that belongs to a handshake waits until both have sent theirs.
		held := map[*end][]byte{}
		n.lose = func(from *end, msg []byte) bool {
			held[from] = msg
			return true
		}
		for _, e := range []*end{n.a, n.b} {
			e.p.Initiate(n.now)
			for _, msg := range e.p.Tick(n.now) {
				n.send(e, msg)
			}
		}
		for range 2 { // initiations, and then responses
			a, b := held[n.a], held[n.b]
			n.deliver(n.b, addrA, a)
			n.deliver(n.a, addrB, b)
		}
		n.lose = nil
		n.pass(10 * time.Second)
		a, b := n.a.p.Status(n.now), n.b.p.Status(n.now)
		if a.Key != b.Key || a.Initiator == b.Initiator {
			t.Fatalf("%+v and %+v", a, b)
		}
		n.pass(10 * time.Minute)
		n.exchange(7)
	}
}

// A change that cannot be had leaves all as it was.
func TestKeysThatCannotBe(t *testing.T) {
	n := newNetwork(t)
	other := NewPrivateKey().Public()
	if _, err := n.a.m.AddPeer(PeerConfig{PublicKey: other}); err != nil {
		t.Fatal(err)
	}
	first := n.a.p.PublicKey()
	for want, keys := range map[string][]Keys{
		"another peer has it": {{PeerPublicKey: first}, {PeerPublicKey: other}},
		"there twice":         {{PeerPublicKey: first}, {PeerPublicKey: first}},
		"own":                 {{PeerPublicKey: n.a.m.PublicKey()}},
		"no keys":             {},
		"low order":           {{}},
	} {
		if _, err := n.a.p.SetKeys(n.now, keys); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	n.handshake(n.a)
	n.exchange(7)
	n.a.m.RemovePeer(n.a.p)
	if _, err := n.a.p.SetKeys(n.now, []Keys{{PeerPublicKey: first}}); err == nil {
		t.Error("a peer that was removed has keys")
	}
}
