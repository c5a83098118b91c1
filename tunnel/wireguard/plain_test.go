package wireguard

import (
	"encoding/binary"
	"fmt"
	"testing"

	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
)

// plainDevice is what [tun.Open] makes on a kernel without IFF_VNET_HDR.
type plainDevice struct{ *fakeDevice }

func (d plainDevice) Offload() tun.Offload { return 0 }

func (d plainDevice) Write(frame []byte) error {
	if frame[0]|frame[1] != 0 { // as [tun.Device.Write]
		return fmt.Errorf("%w: it needs offload", tun.ErrDropped)
	}
	return d.fakeDevice.Write(frame)
}

// An interface without segmentation offload gets the packets as they came.
func TestPlainDevice(t *testing.T) {
	dev := newFakeDevice("plain")
	s := newStage(t, LinkConfig{}, 0)
	s.l = newLinkOver(s.l, plainDevice{dev})
	s.l.e.links.Store(s.l.peer, s.l)

	// A frame as the far kernel gives it, of three segments.
	const size = 100
	f := make([]byte, tun.HeaderLen+40+3*size)
	f[0], f[1] = 1, 1
	binary.LittleEndian.PutUint16(f[2:], 40)
	binary.LittleEndian.PutUint16(f[4:], size)
	binary.LittleEndian.PutUint16(f[6:], 20)
	binary.LittleEndian.PutUint16(f[8:], 16)
	p := f[tun.HeaderLen:]
	p[0], p[8], p[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[32], p[33] = 5<<4, 0x10
	split, err := segment.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	a := newArrival()
	sealer, err := s.peer.Sealer(s.now, 3)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for range 3 {
		n := split.Next(a.buf[at+protocol.HeaderLen:])
		at += len(sealer.Add(a.buf[at:], n, DefaultMTU))
	}
	sealer.Seal()
	a.add(group{n: at, size: at / 3, from: farAddr})
	r := newReceiver(s.l.e, nil)
	r.open(a)
	r.hand(a, false)
	if written, _ := dev.take(); len(written) != 3 || s.l.counters.Drops.Load() != 0 {
		t.Errorf("%d packets were written, and %d frames dropped; want 3", len(written), s.l.counters.Drops.Load())
	}
}

// newLinkOver is a link with another device.
func newLinkOver(l *Link, dev Device) *Link {
	c := l.cfg
	c.Device = dev
	other := newLink(l.e, c)
	other.peer, other.out = l.peer, l.out
	return other
}
