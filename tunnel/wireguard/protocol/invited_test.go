package protocol

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"warren/tunnel"
)

// invitation are keys of an invitation: b has invited, and a has joined.
func invitation() derived {
	d := derive("invitation")
	refusal := PresharedKey(NewPrivateKey())
	d.a.Refusal, d.b.Refusal = refusal, refusal
	d.a.Invited, d.b.Invited = tunnel.Joined, tunnel.Inviting
	return d
}

// used are the keys of b when the invitation was used.
func (d derived) used() Keys {
	d.b.Invited = tunnel.Used
	return d.b
}

// another is a router that has the keys of a.
func (n *network) another(at netip.AddrPort, keys ...Keys) *end {
	n.t.Helper()
	return newEnd(n.t, NewPrivateKey(), PeerConfig{Keys: keys, Endpoint: addrB}, at)
}

// calls has a router begin a handshake with b, and returns b's error.
func (n *network) calls(from *end) error {
	n.t.Helper()
	from.p.Initiate(n.now)
	var err error
	for _, msg := range from.p.Tick(n.now) {
		if messageType(msg) != typeInitiation {
			continue
		}
		r := n.b.m.Receive(n.now, from.addr, bytes.Clone(msg))
		if err = r.Err; r.Reply != nil {
			from.m.Receive(n.now, addrB, bytes.Clone(r.Reply))
		}
	}
	return err
}

func (n *network) wasRefused(e *end) bool { return !e.p.Status(n.now).Refused.IsZero() }

// The inviting end begins nothing, neither with the keys of the invitation nor with those that are to replace them, and the other
// answers nothing that is begun with the invitation.
func TestEndsOfAnInvitation(t *testing.T) {
	i, own := invitation(), derive("own")
	n := derivedNetwork(t, []Keys{i.a}, []Keys{i.b})
	n.handshake(n.a)
	if s := n.b.p.Status(n.now); s.Invited != tunnel.Inviting || n.a.p.Status(n.now).Invited != tunnel.Joined {
		t.Errorf("%+v", s)
	}
	n.pass(10 * time.Second)
	n.log = nil
	n.setKeys(n.b, own.b, i.b)
	n.b.p.Initiate(n.now)
	n.b.p.TryAt(n.now, addrA)
	for range 4 {
		n.pass(100 * time.Second) // in which a renews the session
		n.b.p.Initiate(n.now)
		n.uses(n.b, "invitation", 2)
	}
	n.settle()
	if b := n.b.p.Status(n.now); b.Initiator || b.Trying {
		t.Errorf("the inviting end has begun a handshake: %+v", b)
	}
	n.setKeys(n.a, own.a, i.a)
	n.settle()
	n.uses(n.a, "own", 1)
	n.uses(n.b, "own", 1)
	n.setKeys(n.b, own.b, i.used())
	n.setKeys(n.a, own.a)
	n.pass(time.Second)
	n.exchange(1)

	// Somebody else who has the invitation calls the end that joined.
	joined := newEnd(t, NewPrivateKey(), PeerConfig{Keys: []Keys{i.a}}, addrB)
	plain := i.b
	plain.Invited = 0
	caller := n.another(elsewhere, plain)
	caller.p.Initiate(n.now)
	for _, msg := range caller.p.Tick(n.now) {
		if r := joined.m.Receive(n.now, elsewhere, msg); r.Reply != nil || !errors.Is(r.Err, errBegun) || joined.p.Status(n.now).Endpoint == elsewhere {
			t.Errorf("it answers: %+v", r)
		}
	}
}

// While one router is here by the invitation another one is refused, and understands it. When the first is silent the other gets in.
func TestInvitationInUse(t *testing.T) {
	i := invitation()
	n := derivedNetwork(t, []Keys{i.a}, []Keys{i.b})
	n.handshake(n.a)
	n.pass(3 * time.Second)
	before := n.b.p.Status(n.now)
	c := n.another(elsewhere, i.a)
	if err := n.calls(c); !errors.Is(err, ErrInvitationUsed) || !n.wasRefused(c) {
		t.Errorf("%v; %+v", err, c.p.Status(n.now))
	}
	if s := n.b.p.Status(n.now); s.Since != before.Since || s.Endpoint != addrA || s.Unused != 0 || s.Unconfirmed || s.TwinHeard != (time.Time{}) {
		t.Errorf("it has changed %+v to %+v", before, s)
	}
	if len(c.packets) > 0 || c.p.Status(n.now).Established || !c.p.Status(n.now).Unopened.IsZero() {
		t.Errorf("the other has %+v", c.p.Status(n.now))
	}
	n.exchange(1)
	n.now = n.now.Add(2 * rekeyTimeout)
	if err := n.calls(c); err != nil || n.wasRefused(c) || !c.p.Status(n.now).Established {
		t.Errorf("the first is silent: %v; %+v", err, c.p.Status(n.now))
	}
}

// Whoever comes with an invitation that was used is told so, be the peer here or not, and changes nothing. Its clock does not matter.
func TestInvitationThatWasUsed(t *testing.T) {
	i, own := invitation(), derive("own")
	n := derivedNetwork(t, []Keys{own.a}, []Keys{own.b, i.used()})
	early := n.another(netip.MustParseAddrPort("192.0.2.7:7"), i.a)
	early.m.date = func(now time.Time) time.Time { return now.Add(-24 * time.Hour) }
	late := n.another(elsewhere, i.a)
	for _, c := range []*end{late, early} {
		if err := n.calls(c); !errors.Is(err, ErrInvitationUsed) || !n.wasRefused(c) {
			t.Errorf("%v; %+v", err, c.p.Status(n.now))
		}
		n.now = n.now.Add(time.Second)
	}
	if s := n.b.p.Status(n.now); s.Endpoint.IsValid() || !s.Heard.IsZero() || !s.Stale.IsZero() || s.Trying {
		t.Errorf("the peer is %+v", s)
	}
	n.handshake(n.a)
	n.uses(n.b, "own", 1)
	if len(n.b.m.slots) > 3 {
		t.Errorf("%d indices are taken", len(n.b.m.slots))
	}
	// Not faster than other answers.
	late.p.TryAt(n.now, addrB)
	early.p.TryAt(n.now, addrB)
	if a, b := n.calls(late), n.calls(early); !errors.Is(a, ErrInvitationUsed) || !errors.Is(b, errTooMany) {
		t.Errorf("%v, %v", a, b)
	}
}

// Sessions of an invitation end when it was used.
func TestUsedInvitationEndsItsSessions(t *testing.T) {
	i, own := invitation(), derive("own")
	n := derivedNetwork(t, []Keys{i.a}, []Keys{own.b, i.b})
	n.handshake(n.a)
	if !n.setKeys(n.b, own.b, i.used()) || n.b.p.Status(n.now).Established {
		t.Error("the session goes on")
	}
	n.now = n.now.Add(rekeyTimeout)
	if err := n.calls(n.a); !errors.Is(err, ErrInvitationUsed) {
		t.Error(err)
	}
}

// Only who has the invitation's secret can say that it was used.
func TestForgedRefusals(t *testing.T) {
	i, own := invitation(), derive("own")
	n := derivedNetwork(t, []Keys{i.a}, []Keys{own.b, i.used()})
	n.b.m.RemovePeer(n.b.p)
	forger := i.used()
	forger.Refusal = PresharedKey{1}
	var err error
	if n.b.p, err = n.b.m.AddPeer(PeerConfig{Keys: []Keys{own.b, forger}}); err != nil {
		t.Fatal(err)
	}
	if err := n.calls(n.a); !errors.Is(err, ErrInvitationUsed) || n.wasRefused(n.a) {
		t.Errorf("%v; %+v", err, n.a.p.Status(n.now))
	}
	// Nor does it mean anything to who has no invitation.
	n = derivedNetwork(t, []Keys{own.a}, []Keys{own.b})
	n.b.m.peers[pairing{own.b.PrivateKey.Public(), own.b.PeerPublicKey}].invited = tunnel.Used
	if err := n.calls(n.a); !errors.Is(err, ErrInvitationUsed) || n.wasRefused(n.a) {
		t.Errorf("%v; %+v", err, n.a.p.Status(n.now))
	}
}

func TestKeysOfAnInvitationAreTheLast(t *testing.T) {
	i, own := invitation(), derive("own")
	n := derivedNetwork(t, []Keys{own.a}, []Keys{own.b})
	for _, keys := range [][]Keys{{i.b, own.b}, {i.used()}} {
		if _, err := n.b.p.SetKeys(n.now, keys); err == nil {
			t.Errorf("%d keys are taken", len(keys))
		}
	}
	for want, keys := range map[int][]Keys{0: {own.b, i.b}, 1: {own.b, i.used()}, 2: {own.a, i.a}} {
		if got := Begins(keys); got != want {
			t.Errorf("it begins with %d of the keys; want %d", got, want)
		}
	}
}

// What belongs into one session is not sealed in another.
func TestSealerOfASession(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	since := n.a.p.Status(n.now).Since
	if _, err := n.a.p.SealerOf(n.now, since, 1); err != nil {
		t.Error(err)
	}
	n.pass(rekeyTimeout)
	n.handshake(n.a)
	if _, err := n.a.p.SealerOf(n.now, since, 1); !errors.Is(err, ErrNoSession) {
		t.Errorf("sealed in another session: %v", err)
	}
}
