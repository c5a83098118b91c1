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
// it. A flow alone is in one queue and waits for nobody.
func (l *Link) demand() (busy, held bool) {
	last, now := l.session.load, l.load()
	l.session.load = now
	period := l.lookEvery()
	busy = float64(now.bytes-last.bytes) >= widenAt*period.Seconds()
	return busy, now.waited-last.waited > period/2
}

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
