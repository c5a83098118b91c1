package flow

import "sync"

// ahead bounds how many batches of a stage are being worked on or wait for earlier ones.
const ahead = 16

// reorder is a reorder buffer: several goroutines finish batches in any order, and they are
// handed on in the order in which they were read. No goroutine waits for its turn: a batch that
// is finished early is handed on by the goroutine that finishes the one before it.
type reorder[T any] struct {
	// hand takes the next batch. It is called by one goroutine at a time. With more, it will be
	// called with a further batch as soon as that is finished.
	hand func(b *T, more bool)

	mu      sync.Mutex
	first   uint64     // number of the next batch to hand on
	next    uint64     // number of the next batch to be read
	done    [ahead]*T  // finished batches, by number modulo ahead
	handing bool       // a goroutine calls hand
	room    *sync.Cond // first has moved
}

func newReorder[T any](hand func(b *T, more bool)) *reorder[T] {
	r := &reorder[T]{hand: hand}
	r.room = sync.NewCond(&r.mu)
	return r
}

// idle reports that every batch has been handed on. For the reader that stays so until it
// calls number.
func (r *reorder[T]) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first == r.next
}

// numbers returns that of the next batch to hand on, and that of the next to be read.
func (r *reorder[T]) numbers() (first, next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first, r.next
}

// number gives the batch that was just read its number. It waits while too many are being
// worked on. Only the reader calls it.
func (r *reorder[T]) number() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.next-r.first >= ahead {
		r.room.Wait()
	}
	r.next++
	return r.next - 1
}

// finish hands on the batch with a number, and all that are due then. If an earlier one is not
// finished, or another goroutine is handing on, it leaves the batch to that one.
func (r *reorder[T]) finish(number uint64, b *T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[number%ahead] = b
	if r.handing {
		return
	}
	r.handing = true
	for r.done[r.first%ahead] != nil {
		b := r.done[r.first%ahead]
		r.done[r.first%ahead] = nil
		more := r.next-r.first > 1
		r.mu.Unlock()
		r.hand(b, more)
		r.mu.Lock()
		r.first++
		r.room.Signal()
	}
	r.handing = false
}
