package protocol

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// succeed replaces an end by one that has what it leaves, as another program would.
func (n *network) succeed(e *end, keys []Keys) (next *end, sealable bool) {
	n.t.Helper()
	state, err := json.Marshal(e.p.HandOver(n.at(e)))
	if err != nil {
		n.t.Fatal(err)
	}
	var h Handover
	if err := json.Unmarshal(state, &h); err != nil {
		n.t.Fatal(err)
	}
	next = newEnd(n.t, e.m.own().private, PeerConfig{Keys: keys}, e.addr)
	sealable = next.p.TakeUp(n.now, &h, 0)
	return next, sealable
}

// A session goes on in the next program in both directions, without a handshake. Counters are not used again, and
// what was taken once is not taken again.
func TestHandedOverSessionGoesOn(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	first, err := n.seal(n.b, packet(100, 1))
	if err != nil {
		t.Fatal(err)
	}
	n.send(n.b, first)
	if _, err := n.seal(n.a, packet(100, 2)); err != nil {
		t.Fatal(err)
	}
	was := n.a
	sent := was.p.current.sent
	next, sealable := n.succeed(was, was.p.keys)
	if !sealable || next.p.current.sent != sent {
		t.Fatalf("sealable %v, counter %d, want %d", sealable, next.p.current.sent, sent)
	}
	if _, err := was.p.Sealer(n.now, 1); !errors.Is(err, ErrNoSession) {
		t.Errorf("the program before can still seal: %v", err)
	}
	n.a = next
	n.now = n.now.Add(time.Second)
	if err := n.deliver(next, n.b.addr, first); !errors.Is(err, errReplay) {
		t.Errorf("a packet that was taken once: %v", err)
	}
	handshakes := 0
	n.lose = func(_ *end, msg []byte) bool {
		if IsHandshake(msg) {
			handshakes++
		}
		return false
	}
	for _, e := range []*end{n.a, n.b} {
		msg, err := n.seal(e, packet(100, 3))
		if err != nil {
			t.Fatal(err)
		}
		n.send(e, msg)
	}
	n.settle()
	if len(n.a.packets) != 1 || len(n.b.packets) != 1 || handshakes > 0 {
		t.Errorf("%d and %d packets arrived, %d messages of handshakes; errors %v %v", len(n.a.packets), len(n.b.packets), handshakes, n.a.errs, n.b.errs)
	}
}

// A session that was made with keys that the peer has not any more ends with the program.
func TestHandedOverSessionNeedsItsKeys(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	keys := []Keys{{PeerPublicKey: n.b.m.PublicKey(), PresharedKey: PresharedKey{1}}}
	if next, sealable := n.succeed(n.a, keys); sealable || next.p.current != nil {
		t.Error("a session goes on with another preshared key")
	}
}

// If there is no next program the peer goes on.
func TestCarriedSessionGoesOn(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	n.a.p.HandOver(n.now)
	n.a.p.Carry()
	for _, e := range []*end{n.a, n.b} {
		msg, err := n.seal(e, packet(100, 3))
		if err != nil {
			t.Fatal(err)
		}
		n.send(e, msg)
	}
	if len(n.a.packets) != 1 || len(n.b.packets) != 1 {
		t.Errorf("%d and %d packets arrived", len(n.a.packets), len(n.b.packets))
	}
}
