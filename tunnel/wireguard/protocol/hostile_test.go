package protocol

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"
)

var elsewhere = netip.MustParseAddrPort("203.0.113.9:9")

func TestReplayedInitiation(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	sent := len(n.log)
	n.now = n.now.Add(time.Second)
	if err := n.deliver(n.b, elsewhere, n.log[0]); !errors.Is(err, errReplay) {
		t.Errorf("a replayed initiation: %v", err)
	}
	if err := n.deliver(n.a, elsewhere, n.log[1]); !errors.Is(err, errIndex) {
		t.Errorf("a replayed response: %v", err)
	}
	if len(n.log) != sent {
		t.Error("a replay was answered")
	}
	if got := n.b.p.Status(n.now).Endpoint; got != addrA {
		t.Errorf("a replay moved the endpoint to %v", got)
	}
	n.exchange(1)
}

func TestReplayedAndReorderedData(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	var msgs [][]byte
	for i := range 50 {
		msgs = append(msgs, n.mustSeal(n.a, packet(60, byte(i))))
	}
	for i := len(msgs) - 1; i >= 0; i-- {
		if err := n.deliver(n.b, addrA, msgs[i]); err != nil {
			t.Fatalf("packet %d, out of order: %v", i, err)
		}
	}
	for i, msg := range msgs {
		if err := n.deliver(n.b, elsewhere, msg); !errors.Is(err, errReplay) {
			t.Fatalf("packet %d again: %v", i, err)
		}
	}
	if len(n.b.packets) != 50 {
		t.Errorf("%d packets", len(n.b.packets))
	}
	if got := n.b.p.Status(n.now).Endpoint; got != addrA {
		t.Errorf("replays moved the endpoint to %v", got)
	}
}

// Every bit of every message is authenticated, but for the last MAC of a handshake
// message, which counts only under load.
func TestForgedMessages(t *testing.T) {
	n := newNetwork(t)
	n.a.p.Initiate(n.now)
	initiation := n.a.p.Tick(n.now)[0]
	flip := func(to *end, msg []byte, bytes int) {
		t.Helper()
		before := to.p.Status(n.now)
		for bit := range bytes * 8 {
			msg[bit/8] ^= 1 << (bit % 8)
			if r := to.m.Receive(n.now, elsewhere, append([]byte(nil), msg...)); r.Peer != nil || r.Reply != nil || r.Packet != nil || r.Err == nil {
				t.Fatalf("message of %d bytes with bit %d changed: %+v", len(msg), bit, r)
			}
			msg[bit/8] ^= 1 << (bit % 8)
		}
		if after := to.p.Status(n.now); after != before {
			t.Fatalf("forged messages changed %+v to %+v", before, after)
		}
	}
	flip(n.b, initiation, initiationLen-macLen)
	response := n.b.m.Receive(n.now, addrA, initiation).Reply
	flip(n.a, response, responseLen-macLen)
	if r := n.a.m.Receive(n.now, addrB, response); r.Err != nil {
		t.Fatal(r.Err)
	}
	n.settle()
	data := n.mustSeal(n.a, packet(40, 1))
	flip(n.b, data, len(data))
	if err := n.deliver(n.b, addrA, data); err != nil {
		t.Fatalf("the true packet, after all the forged ones: %v", err)
	}
}

func TestRoaming(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	n.a.addr = elsewhere
	notified := n.b.notified
	n.exchange(1)
	if got := n.b.p.Status(n.now).Endpoint; got != elsewhere {
		t.Errorf("the peer is at %v, and looked for at %v", elsewhere, got)
	}
	if n.b.notified == notified {
		t.Error("the owner was not told")
	}
	s, err := n.b.p.Sealer(n.now, 1)
	if err != nil || s.To != elsewhere {
		t.Errorf("packets go to %v: %v", s.To, err)
	}
}

// What was read from a socket before the peer was heard elsewhere, and is worked on later, does
// not move it back, and does not make it look silent.
func TestWorkedOnLate(t *testing.T) {
	for name, message := range map[string]func(n *network) (msg []byte){
		"packet": func(n *network) []byte { return n.mustSeal(n.a, packet(100, 1)) },
		"initiation": func(n *network) []byte {
			n.a.p.Initiate(n.now)
			return n.a.p.Tick(n.now)[0]
		},
		"response": func(n *network) []byte {
			n.b.p.Initiate(n.now)
			initiation := n.b.p.Tick(n.now)[0]
			return n.a.m.Receive(n.now, addrB, initiation).Reply
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			n.handshake(n.a)
			n.now = n.now.Add(10 * time.Second)
			read := n.now
			msg := message(n)
			n.now = n.now.Add(time.Second)
			n.a.addr = elsewhere
			n.send(n.a, n.mustSeal(n.a, packet(100, 2)))
			if r := n.b.m.Receive(read, addrA, msg); r.Err != nil {
				t.Fatal(r.Err)
			}
			s := n.b.p.Status(n.now)
			if s.Endpoint != elsewhere || !s.Spoke.Equal(n.now) || !s.Heard.Equal(n.now) {
				t.Errorf("the peer is at %v, and was heard %v and %v ago", s.Endpoint, n.now.Sub(s.Spoke), n.now.Sub(s.Heard))
			}
		})
	}
}

func TestNotIP(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	long := packet(100, 0)
	long[3] = 200
	for name, p := range map[string][]byte{
		"zeros": make([]byte, 64), "too long for itself": long, "IPv4 of 2 bytes": {0x45, 0, 0, 2, 19: 0},
		"short IPv6": append([]byte{0x60}, make([]byte, 20)...), "one byte": {0x45},
	} {
		r := n.b.m.Receive(n.now, addrA, n.mustSeal(n.a, p))
		if !errors.Is(r.Err, errNotIP) || r.Packet != nil || r.Peer == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestGarbage(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	for _, msg := range [][]byte{
		nil, {1}, {1, 0, 0, 0}, make([]byte, 148), append([]byte{1, 0, 0, 1}, make([]byte, 144)...),
		append([]byte{1, 0, 0, 0}, make([]byte, 144)...), append([]byte{2, 0, 0, 0}, make([]byte, 88)...),
		append([]byte{3, 0, 0, 0}, make([]byte, 60)...), append([]byte{4, 0, 0, 0}, make([]byte, 28)...),
		append([]byte{5, 0, 0, 0}, make([]byte, 100)...), bytes.Repeat([]byte{0xff}, 65535),
	} {
		if r := n.b.m.Receive(n.now, elsewhere, msg); r.Err == nil || r.Reply != nil || r.Peer != nil || r.Packet != nil {
			t.Errorf("%d bytes: %+v", len(msg), r)
		}
	}
}

// FuzzReceive mutates messages of a true exchange: nothing but the message itself is
// ever accepted.
func FuzzReceive(f *testing.F) {
	keyA, keyB := PrivateKey{8}, PrivateKey{16}
	a, b := New(Config{PrivateKey: keyA}), New(Config{PrivateKey: keyB})
	pa, err := a.AddPeer(PeerConfig{PublicKey: keyB.Public(), Endpoint: addrB})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := b.AddPeer(PeerConfig{PublicKey: keyA.Public()}); err != nil {
		f.Fatal(err)
	}
	pa.Initiate(start)
	initiation := pa.Tick(start)[0]
	f.Add(bytes.Clone(initiation))
	response := b.Receive(start, addrA, initiation).Reply
	f.Add(bytes.Clone(response))
	a.Receive(start, addrB, response)
	keepalive := pa.Tick(start)[0]
	f.Add(bytes.Clone(keepalive))
	f.Add(append([]byte{3, 0, 0, 0}, response[4:64]...))
	if b.Receive(start, addrA, keepalive).Peer == nil {
		f.Fatal("no session")
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, m := range []*Machine{a, b} {
			if r := m.Receive(start, elsewhere, bytes.Clone(msg)); r.Peer != nil || r.Packet != nil {
				t.Fatalf("accepted: %+v", r)
			}
			if typ := messageType(msg); typ != typeInitiation && typ != typeResponse {
				continue
			}
			// With the MAC that anyone can make who knows the public key.
			at := len(msg) - macsLen
			mac := keyedMAC(m.me.keys.mac1[:], msg[:at])
			signed := append(append(bytes.Clone(msg[:at]), mac[:]...), msg[at+macLen:]...)
			if r := m.Receive(start, elsewhere, signed); r.Peer != nil || r.Packet != nil {
				t.Fatalf("accepted: %+v", r)
			}
		}
	})
}
