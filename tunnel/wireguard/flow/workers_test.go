package flow

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Workers join while the reader gives up its role, never more than there are to spare, and all
// but the first are given back at the end.
func TestWorkers(t *testing.T) {
	const spare, rounds = 3, 10_000
	var left atomic.Int32
	left.Store(spare)
	var running sync.WaitGroup
	var w *workers
	var read, most, at atomic.Int32
	readers := 0 // the reader's
	w = newWorkers(&left, &running, func() {
		if n := at.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer at.Add(-1)
		for {
			if readers++; readers != 1 {
				t.Error("two read at once")
			}
			readers--
			done := read.Add(1) > rounds
			w.giveUpRole()
			if done {
				return
			}
			w.grow()
			if !w.takeRole() {
				return
			}
		}
	})
	w.start()
	running.Wait()
	if most.Load() > 1+spare || left.Load() != spare || w.count.Load() != 0 {
		t.Errorf("%d worked at once, %d to spare and %d members afterwards", most.Load(), left.Load(), w.count.Load())
	}
	if read.Load() <= rounds {
		t.Errorf("%d reads, and then nobody went on", read.Load())
	}
}
