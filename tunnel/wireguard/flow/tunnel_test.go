package flow

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/pathmtu"
)

// Large packets wake the link once, until it has looked after the path.
func TestLargePacketsAreNoticedOnce(t *testing.T) {
	e, _ := newPair(t, nearAddr, farAddr)
	woken := 0
	e.tunnel.Notify = func() { woken++ }
	e.tunnel.sendsLarge(LargePacket)
	if woken > 0 {
		t.Error("a small packet wakes the link")
	}
	for range 2 {
		for range 3 {
			e.tunnel.sendsLarge(1400)
		}
		if woken != 1 {
			t.Errorf("woken %d times, want once", woken)
		}
		woken = 0
		e.tunnel.Large.Store(false)
	}
}

// What another program of this machine says in this end's name does not get to the peer: its tunnel would stay up while this end is dead.
func TestForgedNoticesAreDropped(t *testing.T) {
	for _, ends := range []pathmtu.Ends{
		{Local: netip.MustParseAddr("fd00::1"), Peer: netip.MustParseAddr("fd00::2")},
		{Local: netip.MustParseAddr("10.0.0.1"), Peer: netip.MustParseAddr("10.0.0.2")},
	} {
		e, _ := newPair(t, nearAddr, farAddr)
		e.tunnel.Ends.Store(&ends)
		notice, err := ends.Notice(pathmtu.Notice{Word: pathmtu.Await})
		if err != nil {
			t.Fatal(err)
		}
		ping, err := ends.Request(100, pathmtu.Token{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range [][]byte{notice, ping} {
			e.dev.Frames <- append(make([]byte, tun.HeaderLen), p...)
		}
		b := newOutboundBatch()
		o := newOutbound(e.tunnel, 0, nil, nil)
		if err := o.fill(b, false); !errors.Is(err, tun.ErrEmpty) {
			t.Fatal(err)
		}
		if len(b.frames) != 1 || !bytes.Equal(b.frames[0].Packet(), ping) || e.tunnel.Counters.Drops.Load() != 1 {
			t.Errorf("%d frames, %d dropped", len(b.frames), e.tunnel.Counters.Drops.Load())
		}
	}
}
