package tlslink

import (
	"cmp"
	"time"

	"golang.org/x/sys/unix"
)

// What waits in a socket unsent delays what comes later, a ping beside a stream as well. What
// doesn't fit waits in the device's queue, where the flows inside the tunnel notice. So the bound
// is a time, at the rate that the connection delivers with: long enough for this process to be
// woken up in between, also on a busy machine, and short beside a path's round trip. The kernel
// asks for more when half of it is left.
const (
	unsentFor = 8 * time.Millisecond
	// minUnsent is two full segments, which is what the kernel paces together at least. Below 3 Mbit/s it is more
	// than unsentFor.
	minUnsent = 2 * 1448
	// maxUnsent is for fast paths, where the bound is short in any case. Measured with 32 KiB, one
	// stream is a third slower over a path that loses packets and has no delay.
	maxUnsent = 256 << 10
	// firstUnsent is for the first connection of a session, whose rate is not known yet.
	firstUnsent = 128 << 10
)

// unsentBound returns how many bytes may wait unsent where so many did up to now, and the
// connection delivers rate bytes a second; 0 is not known. A rate is that of one moment: the
// bound falls to half at most.
func unsentBound(before int, rate uint64) int {
	if rate == 0 {
		return before
	}
	due := min(float64(rate)*unsentFor.Seconds(), maxUnsent)
	return max(int(due), before/2, minUnsent)
}

// startUnsent begins with the bound of the connection that this one replaces, or with that of lane 0: it takes the same
// path. Either may be nil, or this one itself.
func (w *wire) startUnsent(replaced, first *lane) {
	unsent := int32(firstUnsent)
	switch {
	case replaced != nil && replaced.wire != w:
		unsent, w.rate = replaced.wire.unsent.Load(), replaced.wire.rate
	case first != nil && first.wire != w:
		unsent = first.wire.unsent.Load()
	}
	w.unsent.Store(unsent)
	w.setOption(unix.TCP_NOTSENT_LOWAT, int(unsent))
}

// followUnsent sets it for what the connection delivers now, in bytes a second: at each look back, and sooner while it has to be
// waited for. It may be called from any goroutine.
func (w *wire) followUnsent(rate uint64) {
	was := int(w.unsent.Load())
	if next := unsentBound(was, rate); next != was {
		w.unsent.Store(int32(next))
		w.setOption(unix.TCP_NOTSENT_LOWAT, next)
	}
}

// boundUnsent sets it for what the connection delivers now.
func (w *wire) boundUnsent() {
	rate, ok := w.deliveryRate()
	if !ok {
		return
	}
	w.rate = cmp.Or(rate, w.rate) // it may have delivered nothing yet
	w.followUnsent(rate)
}

// deliveryRate returns what the peer has acknowledged lately, in bytes a second, without the times
// at which nothing was to be sent; 0 if nothing was yet. ok is false if the kernel does not say.
func (w *wire) deliveryRate() (rate uint64, ok bool) {
	if w.raw == nil {
		return 0, false
	}
	err := setsockopt(w.raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			rate = info.Delivery_rate
		}
		return err
	})
	return rate, err == nil
}

// boundAllUnsent is called at each look back.
func (l *Link) boundAllUnsent() {
	for _, ln := range l.session.lanes {
		if ln != nil && !ln.lost.Load() {
			ln.wire.boundUnsent()
		}
	}
}
