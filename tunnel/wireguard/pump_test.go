package wireguard

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// largeFrame is what a kernel makes of a TCP flow: segments of 1360 bytes that are to be
// cut, from a sequence number on.
func largeFrame(seq uint32, payload int) []byte {
	f := make([]byte, tun.HeaderLen+40+payload)
	f[0], f[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4
	for off, v := range map[int]uint16{2: 40, 4: 1360, 6: 20, 8: 16} { // header, segment, checksum
		binary.LittleEndian.PutUint16(f[off:], v)
	}
	p := f[tun.HeaderLen:]
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint32(p[24:], seq)
	p[32], p[33] = 5<<4, 0x10 // 20 bytes, ACK
	return f
}

// What is held back for the next frame leaves also if that is none.
func TestNothingWaitsForGarbage(t *testing.T) {
	const payload = 47 * 1360 // more than one send takes
	a, b := newPair(t, "127.0.0.1", 10*time.Second)
	for range 50 {
		a.dev.frames <- largeFrame(0, payload)
		a.dev.frames <- []byte{1, 2, 3}
		got := 0
		for deadline := time.Now().Add(patience); got < payload; time.Sleep(100 * time.Microsecond) {
			written, _ := b.dev.take()
			for _, f := range written {
				got += len(f) - tun.HeaderLen - 40
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d bytes came; %+v", got, payload, b.l.Status())
			}
		}
	}
}

// A flow that several goroutines seal and open stays in order, and nothing is missing.
func TestFlowStaysInOrder(t *testing.T) {
	const payload, frames = 47 * 1360, 400
	const inFlight = 3 // of which a socket's default buffer has room
	a, b := newPair(t, "127.0.0.1", 10*time.Second)
	deadline := time.Now().Add(patience)
	var sent, next uint32
	for next < frames*payload {
		for sent < frames*payload && sent-next < inFlight*payload {
			a.dev.frames <- largeFrame(sent, payload)
			sent += payload
		}
		written, _ := b.dev.take()
		for _, f := range written {
			p := f[tun.HeaderLen:]
			if seq := binary.BigEndian.Uint32(p[24:]); seq != next {
				t.Fatalf("%d came where %d was due", seq, next)
			}
			next += uint32(len(p) - 40)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d bytes came; %+v", next, sent, b.l.Status())
		}
		if len(written) == 0 {
			time.Sleep(100 * time.Microsecond)
		}
	}
	for _, n := range []*end{a, b} {
		if left := n.e.spare.Load(); left < 0 {
			t.Errorf("%d goroutines more than there may be", -left)
		}
	}
}
