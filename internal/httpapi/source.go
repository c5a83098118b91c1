package httpapi

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"warren/internal/history"
	"warren/internal/status"
)

// Source is what the daemon can be asked. Its methods may be called from several goroutines at once.
type Source interface {
	// Status is the state of the daemon at this moment, or at one that is no longer ago than freshFor.
	// Several callers may get the same lists: they are only to be read.
	Status(context.Context) (status.Status, error)
	// Events are those of the history, as [history.Log.Select] gives them.
	Events(history.Query) (events []history.Event, next uint64, changed <-chan struct{})
	// Why says what became of the routes to a prefix. The error wraps status.ErrNoPeer where one is
	// asked for that there is not.
	Why(context.Context, status.WhyQuestion) (status.Why, error)
}

const (
	// freshFor is how long a status may be given to those who ask.
	freshFor = 200 * time.Millisecond
	// askTimeout bounds how long the daemon may take to answer: longer than anything that keeps its
	// loop busy.
	askTimeout = 5 * time.Second
	// Questions about prefixes cost the speaker's process a look at its tables.
	whysPerSecond, whysAtOnce = 5, 10
)

// shared asks a Source on behalf of many.
type shared struct {
	Source
	why  *rate.Limiter
	turn chan struct{} // capacity 1: of those that ask about prefixes

	mu   sync.Mutex
	last *question // whose answer all get; nil: none is fresh, and none is being answered
}

// question is a question for the status. The rest is its answer once it is done.
type question struct {
	done   chan struct{}
	status status.Status
	err    error
}

func newShared(s Source) *shared {
	return &shared{Source: s, why: rate.NewLimiter(whysPerSecond, whysAtOnce), turn: make(chan struct{}, 1)}
}

// Status implements Source.
func (h *shared) Status(ctx context.Context) (status.Status, error) {
	h.mu.Lock()
	q := h.last
	if q == nil {
		q = &question{done: make(chan struct{})}
		h.last = q
		go h.ask(q)
	}
	h.mu.Unlock()
	select {
	case <-q.done:
		return q.status, q.err
	case <-ctx.Done():
		return status.Status{}, ctx.Err()
	}
}

// ask has q answered, and forgets it when it is not fresh any more. It does not end with the
// one that asked first, as others wait too.
func (h *shared) ask(q *question) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	q.status, q.err = h.Source.Status(ctx)
	close(q.done)
	if q.err != nil {
		h.forget(q)
		return
	}
	time.AfterFunc(freshFor, func() { h.forget(q) })
}

func (h *shared) forget(q *question) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == q {
		h.last = nil
	}
}

// Why implements Source.
func (h *shared) Why(ctx context.Context, q status.WhyQuestion) (status.Why, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return status.Why{}, ctx.Err()
	}
	if err := h.why.Wait(ctx); err != nil {
		return status.Why{}, err
	}
	return h.Source.Why(ctx, q)
}
