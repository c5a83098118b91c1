package tlslink

import (
	"encoding/binary"
	"errors"
	"testing"

	"warren/tunnel/tun"
)

// flood sends numbered packets on a queue until stop is closed, and returns how many.
func flood(e *end, queue int, stop <-chan struct{}) (sent uint32) {
	for i := uint32(0); ; i++ {
		f := packet(60000, byte(queue))
		binary.BigEndian.PutUint32(f[tun.HeaderLen+32:], i)
		select {
		case e.dev.queues[queue] <- f:
		case <-stop:
			return i
		}
	}
}

// Load opens further lanes; losing one loses packets but not the session, and it
// comes back.
func TestLanesOpenUnderLoad(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	b.waitEvents(1)
	a.waitEvents(1)
	b.dev.mu.Lock()
	b.dev.keep = false
	b.dev.mu.Unlock()
	if n := a.link.Status().Lanes; n != 1 {
		t.Fatalf("%d lanes without traffic, want 1", n)
	}
	stop := make(chan struct{})
	defer close(stop)
	for q := range 2 {
		go flood(a, q, stop)
	}
	lanes := func(n int) func() bool {
		return func() bool { return a.link.Status().Lanes == n && b.link.Status().Lanes == n }
	}
	explain := func() string { return "not two lanes" }
	poll(t, lanes(2), explain)

	lane := a.link.routes[1].Load()
	if lane.number != 1 || a.link.routes[0].Load().number != 0 {
		t.Fatal("each queue should have its lane")
	}
	lane.lose(errors.New("test"))
	if got := a.link.routes[1].Load(); got == lane { // it is lane 0, or the next lane 1 by now
		t.Fatal("queue 1 is on the lane that is lost")
	}
	poll(t, func() bool { l := a.link.routes[1].Load(); return l.number == 1 && l != lane }, explain)
	poll(t, lanes(2), explain)
	if len(a.seen()) != 1 || len(b.seen()) != 1 {
		t.Fatalf("the session ended: %+v %+v", a.seen(), b.seen())
	}
}

// Packets of one queue arrive in order while the tunnel has the lanes it has.
func TestQueuesStayInOrder(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	b.waitEvents(1)
	a.waitEvents(1)
	openLanes(t, a, b)
	const n = 300
	for q := range 2 {
		go func() {
			for i := range uint32(n) {
				f := marked(packet(1000, byte(q)))
				binary.BigEndian.PutUint32(f[tun.HeaderLen+32:], i)
				a.dev.queues[q] <- f
			}
		}()
	}
	var next [2]uint32
	for _, f := range b.waitWritten(2 * n) {
		q := f[tun.HeaderLen+28]
		if i := binary.BigEndian.Uint32(f[tun.HeaderLen+32:]); i != next[q] {
			t.Fatalf("queue %d: packet %d, want %d", q, i, next[q])
		}
		next[q]++
	}
}
