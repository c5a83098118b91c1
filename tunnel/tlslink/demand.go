package tlslink

import (
	"sync/atomic"
	"time"
)

// widenAt is the traffic, in bytes per second and both directions together, at
// which a session gets its further lanes. An idle tunnel costs one connection.
const widenAt = 100e6 / 8

// load is what a link has done since it was made.
type load struct {
	bytes  uint64        // moved, both directions together
	waited time.Duration // by queues for each other, added up
}

func (l *Link) load() load {
	sum := load{bytes: l.counters.RxBytes.Load() + l.counters.TxBytes.Load()}
	now := monotonic()
	for q := range l.waits {
		sum.waited += l.waits[q].until(now)
	}
	return sum
}

// demand is called at each look back and says what of the time since the last one asks
// for further lanes: that much traffic, for which several processors are needed, or
// that queues were held back by each other for more than half of the time. The
// latter happens on a slow path, where a lane's window is what bounds the flows on
// it. A flow alone is in one queue and waits for nobody. It follows boundAllUnsent.
func (l *Link) demand() (busy, held bool) {
	last, now := l.session.load, l.load()
	l.session.load = now
	period := l.lookEvery()
	busy = float64(now.bytes-last.bytes) >= widenAt*period.Seconds()
	return busy, now.waited-last.waited > period/2 && l.lanesHelp()
}

// lanesHelp reports whether queues that wait for each other would have anything of further lanes.
func (l *Link) lanesHelp() bool {
	rate := uint64(0)
	for _, ln := range l.session.lanes {
		if ln != nil && !ln.lost.Load() {
			rate += ln.wire.rate
		}
	}
	return lanesHelp(l.session.first.Load().wire.congestion(), rate, l.wantedLanes())
}

// lanesHelp is about so many lanes, where those that there are deliver rate bytes a second; 0 is not known. With bbr what bounds the
// flows on a slow path is the path itself and no window, and each lane has a full record waiting. So they only make what
// waits more, unless all of it is sent in unsentFor.
func lanesHelp(congestion string, rate uint64, lanes int) bool {
	return congestion != BestCongestion || rate == 0 || float64(rate)*unsentFor.Seconds() >= float64(lanes*recordLen)
}

// After further lanes could not be dialed they are dialed again after a pause: at first, and twice as long each time, at most. A firewall
// may allow one connection for ever.
const (
	minWidenPause = 10 * time.Second
	maxWidenPause = 10 * time.Minute
)

// sayAgain is when the log has it again that a lane cannot be replaced.
const sayAgain = 10 * time.Minute

// widening is when a session may dial further lanes after some could not be dialed. It belongs to the goroutine of Link.Run; the zero
// value is for a session that has dialed none.
type widening struct {
	pause time.Duration
	next  time.Time
	told  bool
}

// failed notes a dial that has failed, and reports whether it is the first of the session. Several that were made together count once.
func (w *widening) failed(now time.Time) (first bool) {
	if !now.Before(w.next) {
		w.pause = min(max(2*w.pause, minWidenPause), maxWidenPause)
		w.next = now.Add(w.pause)
	}
	first, w.told = !w.told, true
	return first
}

// again has one dialed at once, as there was room for one that is lost.
func (w *widening) again() { w.next = time.Time{} }

// succeeded notes that all lanes are there, or that they take another way now.
func (w *widening) succeeded() { w.pause, w.next = 0, time.Time{} }

// waits is how long a queue had packets to send and its lane was taken by another
// queue's. It is written by the queue's goroutine and read by that of Run.
//
// During a wait the time at which it began is taken off the sum, which is negative
// then: nobody can have waited for longer than there is time.
type waits struct{ sum atomic.Int64 }

func (w *waits) begin() { w.sum.Add(-int64(monotonic())) }
func (w *waits) end()   { w.sum.Add(int64(monotonic())) }

// until includes a wait that goes on.
func (w *waits) until(now time.Duration) time.Duration {
	sum := time.Duration(w.sum.Load())
	if sum < 0 {
		sum += now
	}
	return sum
}
