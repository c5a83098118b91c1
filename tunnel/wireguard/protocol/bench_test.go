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

// What one core does with the packets of one frame, of the default MTU.
const (
	frameLen  = 45
	frameSize = Overhead + 1420
)

func benchFrame(b *testing.B, peer *Peer, msgs []byte, packet []byte) {
	s, err := peer.Sealer(start, frameLen)
	if err != nil {
		b.Fatal(err)
	}
	for at := 0; at < len(msgs); at += frameSize {
		copy(msgs[at+HeaderLen:], packet)
		s.Add(msgs[at:at+frameSize], 1420, 1420)
	}
	s.Seal()
}

func BenchmarkSeal(b *testing.B) {
	_, _, peer := benchPair(b)
	msgs := make([]byte, frameLen*frameSize)
	b.SetBytes(frameLen * 1420)
	b.ReportAllocs()
	for b.Loop() {
		benchFrame(b, peer, msgs, nil)
	}
}

func BenchmarkOpen(b *testing.B) {
	_, to, peer := benchPair(b)
	msgs := make([]byte, frameLen*frameSize)
	p := packet(1420, 1)
	var got []Received
	b.SetBytes(frameLen * 1420)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		benchFrame(b, peer, msgs, p)
		b.StartTimer()
		got = to.ReceiveRun(start, addrA, msgs, frameSize, got[:0])
		if got[frameLen-1].Packet == nil {
			b.Fatal(got[frameLen-1].Err)
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
