package tlslink

import (
	"testing"
	"time"

	"warren/tunnel/internal/fq"
	"warren/tunnel/tun"
)

// waitingPump is a pump that sends, and has to wait; these packets are in its queue.
func waitingPump(packets ...[]byte) (*pump, *fakeDevice) {
	dev := newFakeDevice("x", 1)
	for _, f := range packets {
		dev.queues[0] <- f
	}
	l := newLink(NewEndpoint(Config{}), LinkConfig{Device: dev}, []*credential{{}})
	p := &pump{link: l}
	p.reads.Store(true)
	p.waits.Store(true)
	p.backlog().begin()
	return p, dev
}

// aloneFrames is how many packets of packetsOfOne are read at a time.
const aloneFrames = (aloneBytes + 15000) / (15000 + tun.HeaderLen)

// packetsOfOne returns packets of one flow.
func packetsOfOne(n int) (packets [][]byte) {
	for i := range n {
		packets = append(packets, numbered(15000, 1, uint32(i)))
	}
	return packets
}

// While a pump waits on a fast lane little is read of a flow alone at a time, and all where another one could pass by.
func TestFlowAloneIsReadInPart(t *testing.T) {
	p, dev := waitingPump(packetsOfOne(3 * aloneFrames)...)
	if read, n := p.readOn(), p.backlog().queue.Len(); n != aloneFrames || read != n {
		t.Errorf("%d of a flow alone wait, and %d are said to be read", n, read)
	}
	dev.queues[0] <- numbered(100, 2, 0)
	for range 3 {
		p.readOn()
	}
	if n := p.backlog().queue.Len(); n != 3*aloneFrames+1 {
		t.Errorf("%d wait in the end", n)
	}

	p, dev = waitingPump(append([][]byte{numbered(100, 2, 0)}, packetsOfOne(3*aloneFrames)...)...)
	p.readOn()
	if n := len(dev.queues[0]); n != 0 {
		t.Errorf("%d packets of two flows are not read", n)
	}
}

// In a long wait little is read rarely, and where much comes it is read before the device's queue is full, which drops what comes last.
func TestMuchIsReadSoon(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		waited time.Duration
		frames int
		want   time.Duration
	}{
		{ms, 0, ms}, {80 * ms, 0, 10 * ms}, {80 * ms, manyFrames - 1, 10 * ms}, {10 * time.Second, 5, readRarely},
		{80 * ms, manyFrames, ms}, {10 * time.Second, 2 * manyFrames, ms},
	} {
		if got := readAgain(c.waited, c.frames); got != c.want {
			t.Errorf("%d frames after %v: again in %v, want %v", c.frames, c.waited, got, c.want)
		}
	}
}

// When the pump goes on nobody reads in its place, and it sends what waits before it reads.
func TestNobodyReadsForPumpThatGoesOn(t *testing.T) {
	p, dev := waitingPump(packetsOfOne(2)...)
	p.goesOn()
	p.overdue()
	if n := len(dev.queues[0]); n != 2 || p.armed {
		t.Errorf("%d of 2 packets are left, the timer is set: %v", n, p.armed)
	}
	p, _ = waitingPump(packetsOfOne(2)...)
	p.readOn()
	p.goesOn()
	if p.backlog().end() {
		t.Error("it would read, and packets wait")
	}
	buf := new(buffer)
	for want := range uint32(2) {
		b := p.backlog().take(buf, 1, fq.Limits{Target: time.Hour, Interval: time.Hour})
		if got := b.frames[headerLen+tun.HeaderLen+35]; b.packets != 1 || uint32(got) != want {
			t.Errorf("%d packets, number %d, want 1, number %d", b.packets, got, want)
		}
		b.release()
	}
	if !p.backlog().end() {
		t.Error("nothing waits, and it still sends")
	}
}

// What crypto/tls writes while a pump sends may be said to wait when the pump has gone on, and reads. Then nobody else does.
func TestLateWordOfAWaitIsForNobody(t *testing.T) {
	for _, rate := range []uint64{0, 1e6} {
		p, dev := waitingPump(packetsOfOne(2)...)
		p.waits.Store(false)
		ln := &lane{s: &session{link: p.link}}
		ln.pace.set(rate, 0, false)
		ln.acquire(p)
		p.mu.Lock()
		said := make(chan struct{})
		go func() {
			ln.blocks()
			close(said)
		}()
		poll(t, ln.pace.blocked.Load, func() string { return "it does not say that it waits" })
		ln.sender.Store(nil) // as release begins
		p.mu.Unlock()
		<-said
		if len(dev.queues[0]) != 2 || p.waits.Load() || p.armed || !p.reads.Load() {
			t.Errorf("rate %d: somebody reads beside the pump", rate)
		}
	}
}
