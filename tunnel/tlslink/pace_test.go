package tlslink

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/fq"
	"warren/tunnel/tun"
)

// What is sent as a whole takes the line a millisecond, or is a packet.
func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		mbits           float64
		roundTrip       time.Duration
		loses           bool
		frame, batch    int
		target, horizon time.Duration
	}{
		{0, 0, false, 0, batchEnough, 5 * ms, 100 * ms},
		{0.5, 40 * ms, false, leastBatch, leastBatch, 51200 * time.Microsecond, 100 * ms},
		{10, 20 * ms, false, leastBatch, 2500, 5 * ms, 100 * ms},
		{100, 20 * ms, false, 12500, batchEnough, 5 * ms, 100 * ms},
		{100, 300 * ms, false, 12500, batchEnough, 30 * ms, 600 * ms},
		{10_000, 0, false, 0, batchEnough, 5 * ms, 100 * ms},
		{100, 20 * ms, true, 12500, batchEnough, 20 * ms, 100 * ms},
		{100, 100 * ms, true, 12500, batchEnough, 100 * ms, 300 * ms},
	} {
		var p pace
		p.set(uint64(c.mbits*1e6/8), c.roundTrip, c.loses)
		if got := int(p.frame.Load()); got != c.frame || p.batch != c.batch || p.isSlow() != (c.frame > 0) {
			t.Errorf("%v Mbit/s: frames of %d, batches of %d", c.mbits, got, p.batch)
		}
		if want := (fq.Limits{Target: c.target, Interval: c.horizon}); p.limits != want {
			t.Errorf("%v Mbit/s, %v: %+v, want %+v", c.mbits, c.roundTrip, p.limits, want)
		}
	}
}

// On a slow line a frame of many packets waits in parts, so that others get in between.
func TestLongFramesWaitInParts(t *testing.T) {
	l := newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 1)}, []*credential{{}})
	ln := &lane{s: &session{link: l}}
	ln.pace.set(100e6/8, 0, false)
	l.routes[0].Store(ln)
	const size, segments = 1400, 40
	frame := packet(40 + size*segments)
	put := func(off int, v uint16) { binary.LittleEndian.PutUint16(frame[off:], v) }
	frame[0], frame[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4
	put(4, size)
	put(6, 20)
	put(8, 16)
	frame[tun.HeaderLen+9], frame[tun.HeaderLen+32] = unix.IPPROTO_TCP, 5<<4
	p := &pump{link: l}
	p.add(frame)
	p.add(packet(1000))
	buf, bytes, parts := new(buffer), 0, 0
	for {
		b := l.backlogs[0].take(buf, 1, fq.Limits{Target: time.Hour, Interval: time.Hour})
		if b.packets == 0 {
			break
		}
		f := b.frames[headerLen:]
		if len(f) > int(ln.pace.frame.Load()) {
			t.Errorf("a part of %d bytes", len(f))
		}
		if err := tun.Check(f, 1500); err != nil {
			t.Errorf("the far end does not take it: %v", err)
		}
		if f[1] != 0 {
			bytes += len(f) - tun.HeaderLen - 40
			parts++
		} else if parts != 1 {
			t.Errorf("the other flow's packet came behind %d parts", parts)
		}
		b.release()
	}
	if parts < 5 || bytes != size*segments {
		t.Errorf("%d parts with %d bytes, want %d", parts, bytes, size*segments)
	}
}
