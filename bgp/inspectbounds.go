package bgp

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What inspection may cost, however many clients there are and whatever they do.
const (
	// maxAnswers is how many answers are under way at a time: each may hold a copy of a table.
	maxAnswers = 4
	// stallTime is how long a client may leave a message unread that is in the way of the
	// next; then its connection is closed.
	stallTime = 10 * time.Second
	// While others wait for their turn, less patience is left: for one message, and for all
	// messages of an answer together.
	busyStall, busySlow = 500 * time.Millisecond, 5 * time.Second
	busyLook            = 100 * time.Millisecond
	// maxWatchers is how many WatchEvent RPCs there are at a time, as each costs something at
	// each event; one more ends the oldest.
	maxWatchers = 16
	// maxQueued is how many paths wait for all watchers together, some 300 bytes each.
	maxQueued = 1 << 17
	// maxTableRest bounds the rest after a table was copied, which else takes as long as the
	// copying did: that is done where GoBGP's other work waits.
	maxTableRest = 5 * time.Second
)

// inspectBounds keeps inspection within these bounds.
type inspectBounds struct {
	table chan struct{} // holds a value while a table may be copied

	mu       sync.Mutex
	answers  map[*answer]struct{}
	waiting  []*waiter  // the newest is served first, or old ones could keep it waiting
	watchers []*watcher // the oldest first
	queued   int        // paths, of all watchers
}

type waiter struct {
	answer *answer
	ready  chan struct{} // closed when it is the answer's turn
}

func newInspectBounds() *inspectBounds {
	b := &inspectBounds{table: make(chan struct{}, 1), answers: map[*answer]struct{}{}}
	b.table <- struct{}{}
	return b
}

// answer is one answer that is under way. Its sends are of one goroutine.
type answer struct {
	bounds *inspectBounds
	conn   io.Closer

	mu    sync.Mutex
	since time.Time     // when the send began that is under way; zero: none is
	spent time.Duration // in the sends before
}

// answer waits for its turn to answer an RPC. The caller must end it.
func (b *inspectBounds) answer(ctx context.Context) (*answer, error) {
	a := &answer{bounds: b, conn: connectionOf(ctx)}
	b.mu.Lock()
	if len(b.answers) < maxAnswers {
		b.answers[a] = struct{}{}
		b.mu.Unlock()
		return a, nil
	}
	w := &waiter{answer: a, ready: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()

	look := time.NewTicker(busyLook)
	defer look.Stop()
	for {
		select {
		case <-w.ready:
			return a, nil
		case <-ctx.Done():
			if !b.leave(w) {
				a.end()
			}
			return nil, status.FromContextError(ctx.Err()).Err()
		case now := <-look.C:
			b.closeSlowest(now)
		}
	}
}

// leave reports whether w still waited.
func (b *inspectBounds) leave(w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, w)
	if i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
	return i >= 0
}

// end gives the turn to the newest of those that wait.
func (a *answer) end() {
	b := a.bounds
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.answers, a)
	if n := len(b.waiting); n > 0 && len(b.answers) < maxAnswers {
		w := b.waiting[n-1]
		b.waiting = b.waiting[:n-1]
		b.answers[w.answer] = struct{}{}
		close(w.ready)
	}
}

// closeSlowest closes the connection of the answer whose client reads the slowest, if that
// is too slow for those who wait.
func (b *inspectBounds) closeSlowest(now time.Time) {
	b.mu.Lock()
	var slowest *answer
	var most time.Duration
	for a := range b.answers {
		if current, total := a.slowness(now); (current >= busyStall || total >= busySlow) && total > most {
			slowest, most = a, total
		}
	}
	b.mu.Unlock()
	if slowest != nil {
		_ = slowest.conn.Close()
	}
}

// slowness returns how long the send has taken that is under way, and all of them together.
func (a *answer) slowness(now time.Time) (current, total time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.since.IsZero() {
		current = now.Sub(a.since)
	}
	return current, a.spent + current
}

// send sends one message, and closes the connection if that takes too long.
func (a *answer) send(f func() error) error {
	stalled := time.AfterFunc(stallTime, func() { _ = a.conn.Close() })
	defer stalled.Stop()
	a.mu.Lock()
	a.since = time.Now()
	a.mu.Unlock()
	err := f()
	a.mu.Lock()
	a.spent += time.Since(a.since)
	a.since = time.Time{}
	a.mu.Unlock()
	return err
}

// tableTurn waits until a table may be copied. done must be called when it is copied, and may
// be called more than once by one goroutine.
func (b *inspectBounds) tableTurn(ctx context.Context) (done func(), err error) {
	select {
	case <-b.table:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	start, over := time.Now(), false
	return func() {
		if over {
			return
		}
		over = true
		time.AfterFunc(min(time.Since(start), maxTableRest), func() { b.table <- struct{}{} })
	}, nil
}

var (
	errTooSlow  = status.Error(codes.ResourceExhausted, "warren: the client reads too slowly for what there is to watch")
	errReplaced = status.Error(codes.ResourceExhausted, "warren: too many clients watch at a time, and this one was the first of them")
)
