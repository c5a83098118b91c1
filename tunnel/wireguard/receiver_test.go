package wireguard

import (
	"bytes"
	"slices"
	"testing"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
)

// Packets are made frames where they lie, whatever else lies between them.
func TestArrivalOfMany(t *testing.T) {
	s := newStage(t, LinkConfig{}, 0)
	stranger, err := protocol.New(protocol.Config{PrivateKey: protocol.NewPrivateKey()}).
		AddPeer(protocol.PeerConfig{PublicKey: s.l.e.PublicKey(), Endpoint: nearAddr})
	if err != nil {
		t.Fatal(err)
	}
	stranger.Initiate(s.now)
	initiation := stranger.Tick(s.now)[0]

	const longest = 148 - protocol.Overhead // so that data, padded, is as long as an initiation
	a := newArrival()
	a.n, a.from, a.size = 0, farAddr, len(initiation)
	var want [][]byte
	data := func(n int) []byte {
		sealer, err := s.peer.Sealer(s.now, 1)
		if err != nil {
			t.Fatal(err)
		}
		f := frame(n, byte(len(want)))
		want = append(want, f)
		buf := make([]byte, protocol.Overhead+longest)
		copy(buf[protocol.HeaderLen:], f[tun.HeaderLen:])
		msg := sealer.Add(buf, n, longest)
		sealer.Seal()
		return msg
	}
	forged := slices.Clone(data(longest))
	forged[50] ^= 1
	want = nil
	for _, msg := range [][]byte{initiation, data(longest), data(longest - 3), forged, initiation, initiation, data(longest), forged, data(60)} {
		a.n += copy(a.buf[a.n:], msg)
	}
	if a.n <= 8*len(initiation) {
		t.Fatalf("%d bytes: not all but the last are of one size", a.n)
	}
	newReceiver(s.l.e, nil).open(a)
	if len(a.frames) != len(want) || len(s.l.e.waiting) != 3 {
		t.Fatalf("%d frames, want %d; %d handshakes wait", len(a.frames), len(want), len(s.l.e.waiting))
	}
	for i := range a.frames {
		if got := a.frames[i].Flush(); !bytes.Equal(got, want[i]) {
			t.Errorf("frame %d is\n%x, want\n%x", i, got, want[i])
		}
	}
}
