package wireguard

import "sync"

// ahead bounds what of a source is in somebody's hands.
const ahead = 16

// order hands things on in the order in which they came, though several goroutines
// work on them, and whoever is done with one first is done. Nobody waits for a turn:
// what is finished too early is handed on by the one that finishes what is before it.
type order[T any] struct {
	// hand takes the next, of one goroutine at a time. With more, it will be called with a
	// further one as soon as that is done.
	hand func(v *T, more bool)

	mu      sync.Mutex
	first   uint64     // number of the next to be handed on
	next    uint64     // number of the next to come
	done    [ahead]*T  // by their numbers
	handing bool       // somebody is
	room    *sync.Cond // first has moved
}

func newOrder[T any](hand func(v *T, more bool)) *order[T] {
	o := &order[T]{hand: hand}
	o.room = sync.NewCond(&o.mu)
	return o
}

// idle reports that all that came has been handed on. For the reader that stays so
// until it calls come.
func (o *order[T]) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first == o.next
}

// come gives what was just read its number. It waits while there is too much under way.
// It is for the reader.
func (o *order[T]) come() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.next-o.first >= ahead {
		o.room.Wait()
	}
	o.next++
	return o.next - 1
}

// finish hands on what has a number, and all that is due then; or leaves it to who is
// at that.
func (o *order[T]) finish(number uint64, v *T) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done[number%ahead] = v
	if o.handing {
		return
	}
	o.handing = true
	for o.done[o.first%ahead] != nil {
		v := o.done[o.first%ahead]
		o.done[o.first%ahead] = nil
		more := o.next-o.first > 1
		o.mu.Unlock()
		o.hand(v, more)
		o.mu.Lock()
		o.first++
		o.room.Signal()
	}
	o.handing = false
}
