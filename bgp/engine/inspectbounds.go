package engine

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What inspection may cost, however many clients there are and whatever they do.
const (
	// maxTables and maxLists are how many answers are under way at a time that need a table, of
	// which each may hold a copy, and others. One of each is for root alone.
	maxTables, maxLists = 4, 8
	// stallTime is how long a client may leave a message unread that is in the way of the
	// next; then its connection is closed.
	stallTime = 10 * time.Second
	// While others wait for their turn, less patience is left: for one message, and for all
	// messages of an answer together.
	busyStall, busySlow = 500 * time.Millisecond, 5 * time.Second
	busyLook            = 100 * time.Millisecond
	// maxWatchers is how many WatchEvent RPCs there are at a time, as each costs something at
	// each event.
	maxWatchers = 16
	// maxQueued is how many paths wait for all watchers together, some 300 bytes each.
	maxQueued = 1 << 17
	// maxTableRest bounds the rest after a table was copied or its routes counted, which else takes as long as
	// that did: it is done where GoBGP's other work waits.
	maxTableRest = 5 * time.Second
)

// inspectBounds keeps inspection within these bounds.
type inspectBounds struct {
	table         chan struct{} // holds a value while a table may be copied or counted
	tables, lists turns

	mu       sync.Mutex // guards all that follows, and turns
	watchers []*watcher // the oldest first
	queued   int        // paths, of all watchers
}

func newInspectBounds() *inspectBounds {
	b := &inspectBounds{table: make(chan struct{}, 1)}
	b.tables = turns{mu: &b.mu, most: maxTables, busy: map[*answer]struct{}{}}
	b.lists = turns{mu: &b.mu, most: maxLists, busy: map[*answer]struct{}{}}
	b.table <- struct{}{}
	return b
}

// tableTurn waits until a table may be copied, or its routes counted. done must be called when that is
// over, and may be called more than once by one goroutine.
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
	errReplaced = status.Error(codes.ResourceExhausted, "warren: too many clients watch at a time")
)
