package flow

import (
	"encoding/binary"
	"testing"
	"time"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow/flowtest"
)

// What is held back for the next frame leaves also if that is none.
func TestNothingWaitsForGarbage(t *testing.T) {
	const payload = 47 * 1360 // more than one send takes
	a, b := newRunningPair(t)
	for range 50 {
		a.dev.Frames <- flowtest.TCP(0, payload)
		a.dev.Frames <- []byte{1, 2, 3}
		got := 0
		for deadline := time.Now().Add(patience); got < payload; time.Sleep(100 * time.Microsecond) {
			written, _ := b.dev.Take()
			for _, f := range written {
				got += len(f) - tun.HeaderLen - 40
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d bytes came", got, payload)
			}
		}
	}
}

// A flow that several goroutines seal and open stays in order, and nothing is missing.
func TestFlowStaysInOrder(t *testing.T) {
	const payload, frames = 47 * 1360, 400
	const inFlight = 3 // of which a socket's default buffer has room
	a, b := newRunningPair(t)
	var sent, next uint32
	for progress := time.Now(); next < frames*payload; {
		for sent < frames*payload && sent-next < inFlight*payload {
			a.dev.Frames <- flowtest.TCP(sent, payload)
			sent += payload
		}
		written, _ := b.dev.Take()
		for _, f := range written {
			p := f[tun.HeaderLen:]
			if seq := binary.BigEndian.Uint32(p[24:]); seq != next {
				t.Fatalf("%d came where %d was due", seq, next)
			}
			next += uint32(len(p) - 40)
			progress = time.Now()
		}
		if time.Since(progress) > patience {
			t.Fatalf("%d of %d bytes came", next, sent)
		}
		if len(written) == 0 {
			time.Sleep(100 * time.Microsecond)
		}
	}
	for _, e := range []*end{a, b} {
		if left := e.f.spare.Load(); left < 0 {
			t.Errorf("%d goroutines more than there may be", -left)
		}
	}
}
