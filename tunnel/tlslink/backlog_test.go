package tlslink

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"warren/tunnel/internal/ecn"
	"warren/tunnel/tun"
)

// numbered returns a packet of a flow that takes marks.
func numbered(size int, flow byte, i uint32) []byte {
	f := packet(size, flow)
	f[tun.HeaderLen+1] = byte(ecn.ECT0)
	f[tun.HeaderLen+21] = flow // the source port
	binary.BigEndian.PutUint32(f[tun.HeaderLen+32:], i)
	return f
}

func (e *end) waiting(queue int) int {
	b := &e.link.backlogs[queue]
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue == nil {
		return 0
	}
	return b.queue.Len()
}

// standstill returns two ends that are up, of which b takes nothing until release is called, and so many packets of one flow wait at a;
// sent are these and those that were sent before.
func standstill(t *testing.T, packets int) (a, b *end, release func(), sent int) {
	t.Helper()
	a, b = secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release) // b ends only then
	b.dev.update(func() { b.dev.onWrite = func([]byte) { <-held } })
	poll(t, func() bool {
		for a.waiting(0)+len(a.dev.queues[0]) < packets {
			select {
			case a.dev.queues[0] <- numbered(15000, 1, uint32(sent)):
				sent++
			default:
				return false
			}
		}
		return a.waiting(0) >= packets
	}, func() string { return fmt.Sprintf("%d packets wait, and the path takes more", a.waiting(0)) })
	return a, b, release, sent
}

// While a lane takes nothing its queue is read all the same: packets of a flow that sends little pass by those of a stream, which all
// arrive, in order.
func TestSparseFlowPassesStream(t *testing.T) {
	const packets = 100
	a, b, release, sent := standstill(t, packets)
	unread := func() bool { return len(a.dev.queues[0]) > 0 }
	poll(t, func() bool { return !unread() }, func() string { return "the stream is not read" })
	before := a.waiting(0)
	a.dev.queues[0] <- numbered(100, 2, 0)
	poll(t, func() bool { return !unread() && a.waiting(0) > before }, func() string { return "the packet is not read" })
	release()
	next, passed := uint32(0), 0
	for i, f := range b.waitWritten(sent + 1)[:sent+1] {
		if f[tun.HeaderLen+28] == 2 {
			passed = sent - i
			continue
		}
		if n := binary.BigEndian.Uint32(f[tun.HeaderLen+32:]); n != next {
			t.Fatalf("packet %d came after %d", n, int(next)-1)
		}
		next++
	}
	// One batch may be on its way to the kernel already.
	if passed < packets-5 {
		t.Errorf("it passed by %d packets of at least %d", passed, packets)
	}
}

// Before an end is restarted what it has read is sent, as the next program has none of it.
func TestWaitingPacketsAreFlushed(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	ln := a.link.routes[0].Load()
	backlog := &a.link.backlogs[0]
	p := &pump{link: a.link}
	ln.sending.Lock()
	backlog.begin()
	for i := range uint32(50) {
		p.add(numbered(1000, 1, i))
	}
	err := ln.flush([]int{0}, monotonic()+time.Hour)
	ln.sending.Unlock()
	if err != nil || a.waiting(0) != 0 {
		t.Fatalf("%d still wait: %v", a.waiting(0), err)
	}
	for i, f := range b.waitWritten(50) {
		if n := binary.BigEndian.Uint32(f[tun.HeaderLen+32:]); int(n) != i {
			t.Fatalf("packet %d is %d", i, n)
		}
	}
	if st := a.link.Status().Stats; st.TxPackets != 50 || st.Drops != 0 {
		t.Errorf("counted: %+v", st)
	}
}

// What waits when the session ends is dropped and counted, and sending goes on with the next session.
func TestWaitingPacketsEndWithTheSession(t *testing.T) {
	a, b, release, sent := standstill(t, 20)
	a.link.session.fail(fmt.Errorf("by the test"))
	poll(t, func() bool { // none of them goes to the next session
		s := a.link.Status().Stats
		return a.waiting(0) == 0 && s.TxPackets+s.Drops == uint64(sent)
	}, func() string {
		return fmt.Sprintf("%d wait; of %d packets: %+v", a.waiting(0), sent, a.link.Status().Stats)
	})
	if drops := a.link.Status().Stats.Drops; drops < 20 {
		t.Errorf("%d drops", drops)
	}
	release()
	a.waitEvents(3)
	b.waitEvents(3)
	exchangePackets(t, a, b)
}

// A backlog that was not used for a while has no memory.
func TestBacklogRests(t *testing.T) {
	l := newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 1)}, []*credential{{}})
	b := &l.backlogs[0]
	(&pump{link: l}).add(packet(100))
	b.rest()
	b.rest()
	if b.queue == nil {
		t.Fatal("it is gone with what waits")
	}
	b.clear()
	if b.rest(); b.queue != nil {
		t.Error("it stays")
	}
	if !b.begin() {
		t.Error("somebody sends")
	}
}
