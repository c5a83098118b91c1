package flow

import (
	"sync"
	"sync/atomic"
)

// workers are the goroutines of one stage. One of them at a time has the role of the reader.
// It gives up the role before sealing or opening a large batch, so that another can read
// meanwhile. After that it takes the role again, or ends if another has it.
//
// There is one worker while there is little to do. Others join while packets are waiting.
type workers struct {
	spare   *atomic.Int32 // that may still join, of all stages
	running *sync.WaitGroup
	run     func() // the reader's loop, until it has lost the role or nothing can be read
	join    func() // a worker's life; made once, as it is started often

	reading atomic.Bool
	count   atomic.Int32
}

func newWorkers(spare *atomic.Int32, running *sync.WaitGroup, run func()) *workers {
	w := &workers{spare: spare, running: running, run: run}
	w.join = func() {
		defer w.running.Done()
		if w.takeRole() {
			w.run()
		}
		w.leave()
	}
	return w
}

// takeRole makes the caller the reader, unless there is one.
func (w *workers) takeRole() bool { return w.reading.CompareAndSwap(false, true) }

// giveUpRole lets another worker read.
func (w *workers) giveUpRole() { w.reading.Store(false) }

// start starts the first worker.
func (w *workers) start() {
	w.count.Store(1)
	w.running.Add(1)
	go w.join()
}

// grow starts another worker, if one is to spare. It reads, unless another has become the
// reader meanwhile.
func (w *workers) grow() {
	if w.spare.Add(-1) < 0 {
		w.spare.Add(1)
		return
	}
	w.count.Add(1)
	w.running.Add(1)
	go w.join()
}

// leave ends a worker. The last one was not of the spare ones.
func (w *workers) leave() {
	if w.count.Add(-1) > 0 {
		w.spare.Add(1)
	}
}
