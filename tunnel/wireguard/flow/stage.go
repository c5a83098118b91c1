package flow

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// steps are what is done with the batches of a stage.
type steps[T any] struct {
	// read returns the next batch, its size in bytes, and whether it had to wait for it. It
	// returns nil when nothing can be read any more. Only the reader calls it.
	read func() (b *T, size int, waited bool)
	// work seals or opens a batch, which takes longest. Several goroutines may be at it.
	work func(b *T)
	// hand passes a batch on, which it takes over. It is called in the order of reading, by one
	// goroutine at a time. With more, it will be called again soon, and may hold something back
	// until then.
	hand func(b *T, more bool)
	// readable reports whether something can be read now, by which hand is called again.
	readable func() bool
}

// stage reads batches at one place, which is a queue of an interface or a socket, has them
// sealed or opened, and hands them on in order. Small batches go straight through: the reader
// works on them itself as long as nothing is before them. Under load several workers do it.
type stage[T any] struct {
	steps[T]
	workers *workers
	reorder *reorder[T]
}

// worthwhile is how many bytes take so long to seal or open that another goroutine should read
// what comes next.
const worthwhile = 16 << 10

func newStage[T any](spare *atomic.Int32, running *sync.WaitGroup, s steps[T]) *stage[T] {
	st := &stage[T]{steps: s}
	st.workers = newWorkers(spare, running, st.run)
	// What can be read will be, and handed on, so that nothing is held back for ever.
	st.reorder = newReorder(func(b *T, more bool) { st.hand(b, more || st.readable()) })
	return st
}

// start starts the first worker.
func (s *stage[T]) start() { s.workers.start() }

// yieldEvery is after how many batches that needed no waiting a reader lets others have its processor: it makes no call in
// which Go's scheduler would look whether a timer is due, as that of another tunnel's keepalive, before it is interrupted
// for taking long, after 10 ms. A full batch takes some 50 µs.
const yieldEvery = 16

// run is the reader's loop. It ends when another worker reads, or nothing can be read.
func (s *stage[T]) run() {
	for busy := 0; ; {
		b, size, waited := s.read()
		if b == nil {
			s.workers.giveUpRole()
			return
		}
		if busy++; waited {
			busy = 0
		} else if busy >= yieldEvery {
			busy = 0
			runtime.Gosched()
		}
		small := size < worthwhile
		if small && s.reorder.idle() {
			s.work(b)
			s.hand(b, false)
			continue
		}
		number := s.reorder.number()
		if small {
			s.work(b)
			s.reorder.finish(number, b)
			continue
		}
		s.workers.giveUpRole()
		if !waited { // more is probably waiting
			s.workers.grow()
		}
		s.work(b)
		s.reorder.finish(number, b)
		if !s.workers.takeRole() {
			return
		}
	}
}
