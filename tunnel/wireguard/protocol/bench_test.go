package protocol

import (
	"testing"
	"time"
)

func benchPair(b *testing.B) (from, to *Machine, peer *Peer) {
	b.Helper()
	keyA, keyB := NewPrivateKey(), NewPrivateKey()
	from, to = New(Config{PrivateKey: keyA}), New(Config{PrivateKey: keyB})
	peer, err := from.AddPeer(PeerConfig{PublicKey: keyB.Public(), Endpoint: addrB})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := to.AddPeer(PeerConfig{PublicKey: keyA.Public()}); err != nil {
		b.Fatal(err)
	}
	peer.Initiate(start)
	reply := to.Receive(start, addrA, peer.Tick(start)[0]).Reply
	if r := from.Receive(start, addrB, reply); r.Err != nil {
		b.Fatal(r.Err)
	}
	to.Receive(start, addrA, peer.Tick(start)[0])
	return from, to, peer
}

// What one core does, packets of the default MTU: sealing in runs of 45, as one frame
// makes them, and opening one at a time.
func BenchmarkSeal(b *testing.B) {
	_, _, peer := benchPair(b)
	buf := make([]byte, Overhead+1420)
	b.SetBytes(1420)
	b.ReportAllocs()
	var s Sealer
	n := 0
	for b.Loop() {
		if n == 0 {
			var err error
			if s, err = peer.Sealer(start, 45); err != nil {
				b.Fatal(err)
			}
			n = 45
		}
		n--
		s.Seal(buf, 1420, 1420)
	}
}

func BenchmarkOpen(b *testing.B) {
	_, to, peer := benchPair(b)
	const run = 1000
	msgs := make([][]byte, run)
	p := packet(1420, 1)
	b.SetBytes(1420)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n == 0 {
			b.StopTimer()
			s, err := peer.Sealer(start, run)
			if err != nil {
				b.Fatal(err)
			}
			for i := range msgs {
				msgs[i] = make([]byte, Overhead+1420)
				copy(msgs[i][HeaderLen:], p)
				s.Seal(msgs[i], 1420, 1420)
			}
			n = run
			b.StartTimer()
		}
		n--
		if r := to.Receive(start, addrA, msgs[n]); r.Packet == nil {
			b.Fatal(r.Err)
		}
	}
}

// A whole handshake, at both ends.
func BenchmarkHandshake(b *testing.B) {
	from, to, peer := benchPair(b)
	now := start
	for b.Loop() {
		now = now.Add(2 * time.Second * 5)
		peer.Initiate(now)
		for _, msg := range peer.Tick(now) {
			if reply := to.Receive(now, addrA, msg).Reply; reply != nil {
				from.Receive(now, addrB, reply)
			}
		}
	}
}
