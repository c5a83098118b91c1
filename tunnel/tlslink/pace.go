package tlslink

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/fq"
	"warren/tunnel/tun"
)

// What is sent is sent as a whole, and other packets wait for it. So on a slow line there is less of it at a time: frames
// that the kernel has not cut yet, with up to 64 KiB, are cut into smaller ones, and fewer packets go together.
const (
	frameFor = time.Millisecond     // the time that a frame may take on the line
	batchFor = 2 * time.Millisecond // and a batch, unless a packet takes longer

	// leastBatch is a full packet with what a tunnel adds.
	leastBatch = 1600

	// lookAgain is the least time from one look at a line's rate to the next.
	lookAgain = 10 * time.Millisecond
	// slowFor is how long a line is slow after it had to be waited for. Whoever waits for no line needs no bounds.
	slowFor = time.Second
)

// pace is what a lane's line takes, as was seen when it last had to be waited for. What is not atomic belongs to who has the
// lane's lock.
type pace struct {
	blocked atomic.Bool  // since that was looked at
	frame   atomic.Int32 // the longest frame that is sent as a whole, in bytes; 0: any, as it takes no longer than frameFor

	batch  int // bytes that are sent together
	limits fq.Limits

	last   time.Duration // when it was blocked
	looked time.Duration // when its rate was looked at; both monotonic

	standing standing
	watched  time.Duration // when that was looked at
	sent     int           // bytes since then
}

// isSlow reports whether frames and batches are bounded.
func (p *pace) isSlow() bool { return p.frame.Load() > 0 }

// set takes what a line delivers, in bytes a second, and its round trip without queues; 0 is not known. loses is that packets get lost
// there.
func (p *pace) set(rate uint64, roundTrip time.Duration, loses bool) {
	in := func(d time.Duration) int { return int(min(float64(rate)*d.Seconds(), tun.MaxFrame)) }
	frame := in(frameFor)
	if rate == 0 || frame >= tun.MaxFrame {
		frame, p.batch = 0, batchEnough
	} else {
		frame, p.batch = max(frame, leastBatch), min(max(in(batchFor), leastBatch), batchEnough)
	}
	p.frame.Store(int32(frame))
	p.limits = limits(rate, roundTrip, loses)
}

// takeOver has a lane that replaces another one on a slow line know that from the beginning. It is for a lane that nobody uses yet.
func (p *pace) takeOver(old *lane, rate uint64) {
	if rate > 0 && old.pace.isSlow() {
		p.set(rate, 0, false)
		p.last = monotonic()
	}
}

// The limits that RFC 8289 has for the Internet (section 4.3): a flow hears of congestion within an interval, which is about its
// round trip, and a queue of a twentieth of it keeps a line busy.
const (
	minTarget   = 5 * time.Millisecond
	minInterval = 100 * time.Millisecond
)

// limits are those of a line. What it takes for two packets is no queue. Where packets get lost the far end hands over what came in
// a round trip all at once, when the one that it waits for has been sent again, so that acknowledgments inside come in such bursts, and
// what they allow does as well. That waits here for a round trip, again and again, and is no congestion.
func limits(rate uint64, roundTrip time.Duration, loses bool) fq.Limits {
	interval := max(minInterval, 2*roundTrip)
	target := max(minTarget, interval/20)
	if loses {
		interval, target = max(interval, 3*roundTrip), max(target, roundTrip)
	}
	if rate > 0 {
		target = max(target, min(time.Duration(2*leastBatch*float64(time.Second)/float64(rate)), time.Second))
	}
	return fq.Limits{Target: target, Interval: max(interval, target)}
}

// followPace looks at the line's rate if it had to be waited for, which was not looked at lately. It is called with what was sent, in
// bytes, by who has the lock.
func (ln *lane) followPace(sent int) {
	p := &ln.pace
	// An idle tunnel's ping is to cost no such calls.
	if p.sent += sent; p.sent >= fullFlight*leastBatch {
		if now := monotonic(); now-p.watched >= lookAgain {
			p.watched, p.sent = now, 0
			ln.followQueue(now)
			ln.followLosses(now)
		}
	}
	switch {
	case p.blocked.Load():
		now := monotonic()
		p.blocked.Store(false)
		p.last = now
		if now-p.looked < lookAgain {
			return
		}
		p.looked = now
		if rate, roundTrip, ok := ln.wire.line(); ok {
			p.set(rate, roundTrip, ln.s.loses.Load())
			ln.wire.followUnsent(rate)
		}
	case p.isSlow() && monotonic()-p.last > slowFor:
		p.set(0, 0, false)
	}
}

// line returns what the kernel knows of the path: the rate that it delivers, in bytes a second, 0 if that is not known, and
// its shortest round trip.
func (w *wire) line() (rate uint64, roundTrip time.Duration, ok bool) {
	if w.raw == nil {
		return 0, 0, false
	}
	err := setsockopt(w.raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			rate, roundTrip = info.Delivery_rate, time.Duration(info.Min_rtt)*time.Microsecond
		}
		return err
	})
	return rate, roundTrip, err == nil
}
