package tlslink

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// Segments that are too short for the far end to take in one frame arrive as packets,
// and in order with what comes before and after them.
func TestFineFramesArriveAsPackets(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	const size, segments = 10, 100
	fine := marked(packet(28 + size*segments))
	put := func(off int, v uint16) { binary.LittleEndian.PutUint16(fine[off:], v) }
	fine[0], fine[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_UDP_L4
	put(4, size)
	put(6, 20)
	put(8, 6)
	for i := range segments {
		fine[tun.HeaderLen+28+i*size] = byte(i)
	}
	a.dev.queues[0] <- marked(packet(100, 201))
	a.dev.queues[0] <- fine
	a.dev.queues[0] <- marked(packet(100, 202))
	got := b.waitWritten(segments + 2)
	if first, last := got[0][tun.HeaderLen+28], got[segments+1][tun.HeaderLen+28]; first != 201 || last != 202 {
		t.Fatalf("packets %d and %d are at the ends", first, last)
	}
	for i, f := range got[1 : segments+1] {
		p := f[tun.HeaderLen:]
		if len(p) != 28+size || p[28] != byte(i) || binary.BigEndian.Uint16(p[24:]) != 8+size {
			t.Fatalf("packet %d: %x", i, f)
		}
	}
	if drops := b.link.Status().Stats.Drops; drops != 0 {
		t.Fatalf("%d drops", drops)
	}
}

// A peer that has a frame cut into segments of a byte has nothing delivered.
func TestHostileSegmentsAreDropped(t *testing.T) {
	dev := newFakeDevice("x", 1)
	l := newLink(NewEndpoint(Config{}), LinkConfig{Device: dev}, []*credential{{}})
	ln := &lane{s: &session{link: l}}
	hostile := packet(1024)
	hostile[0], hostile[1], hostile[4], hostile[6], hostile[8] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4, 1, 20, 16
	hostile[tun.HeaderLen+9], hostile[tun.HeaderLen+32] = unix.IPPROTO_TCP, 5<<4
	if err := ln.handle(frameData, hostile); err != nil {
		t.Fatal(err)
	}
	if written, _, _ := dev.snapshot(); len(written) != 0 || l.Status().Stats.Drops != 1 {
		t.Fatalf("%d written, %+v", len(written), l.Status().Stats)
	}
}
