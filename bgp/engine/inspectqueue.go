package engine

import (
	"context"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"google.golang.org/grpc/status"
)

// watcher is one WatchEvent RPC. The last fields are guarded by bounds.mu.
type watcher struct {
	answer // for its sends; it has no turn to end
	bounds *inspectBounds
	cancel context.CancelCauseFunc
	more   chan struct{} // capacity 1: the queue is no longer empty

	queue []watchEvent
	size  int // paths in the queue
	gone  bool
}

// watchEvent is what GoBGP reported: paths, or a peer.
type watchEvent struct {
	paths []*apiutil.Path
	peer  *apiutil.WatchEventMessage_PeerEvent
}

func (e watchEvent) size() int { return max(1, len(e.paths)) }

// watch adds a watcher; cancel ends its RPC. If there are too many, one of them ends.
func (b *inspectBounds) watch(ctx context.Context, cancel context.CancelCauseFunc) *watcher {
	w := &watcher{answer: answer{client: clientOf(ctx)}, bounds: b, cancel: cancel, more: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers = append(b.watchers, w)
	if len(b.watchers) > maxWatchers {
		b.oneTooMany().drop(errReplaced)
	}
	return w
}

// oneTooMany chooses the watcher that ends: the oldest of the user that has the most, root's for
// root's alone. It is called with mu held.
func (b *inspectBounds) oneTooMany() *watcher {
	counts := map[int64]int{}
	for _, w := range b.watchers {
		counts[w.client.user]++
	}
	newest := b.watchers[len(b.watchers)-1]
	goes := newest
	for _, w := range b.watchers[:len(b.watchers)-1] {
		switch {
		case w.client.trusted && !newest.client.trusted:
		case w.client.trusted != goes.client.trusted:
			if goes.client.trusted {
				goes = w
			}
		case goes == newest && counts[w.client.user] >= counts[goes.client.user], counts[w.client.user] > counts[goes.client.user]:
			goes = w
		}
	}
	return goes
}

// put queues an event, which must not block: GoBGP queues without bounds what is not taken.
// If too much is queued, the watcher ends that is the furthest behind.
func (w *watcher) put(e watchEvent) {
	b := w.bounds
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.gone {
		return
	}
	w.queue = append(w.queue, e)
	w.size += e.size()
	b.queued += e.size()
	select {
	case w.more <- struct{}{}:
	default:
	}
	if b.queued > maxQueued {
		slices.MaxFunc(b.watchers, func(x, y *watcher) int { return x.size - y.size }).drop(errTooSlow)
	}
}

// next waits for the next event.
func (w *watcher) next(ctx context.Context) (watchEvent, error) {
	for {
		if e, ok := w.take(); ok {
			return e, nil
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			return watchEvent{}, status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (w *watcher) take() (e watchEvent, ok bool) {
	w.bounds.mu.Lock()
	defer w.bounds.mu.Unlock()
	if len(w.queue) == 0 {
		return e, false
	}
	e = w.queue[0]
	w.queue[0] = watchEvent{}
	w.queue = w.queue[1:]
	w.size -= e.size()
	w.bounds.queued -= e.size()
	return e, true
}

// drop ends the watcher, with bounds.mu held. A client that reads is told why; the connection of
// one that does not is closed.
func (w *watcher) drop(why error) {
	w.forget()
	w.cancel(why)
	time.AfterFunc(busyStall, func() {
		if current, _ := w.slowness(time.Now()); current > 0 {
			_ = w.client.conn.Close()
		}
	})
}

func (w *watcher) leave() {
	w.bounds.mu.Lock()
	defer w.bounds.mu.Unlock()
	w.forget()
}

// forget takes the watcher and what it has queued from the account, with bounds.mu held.
func (w *watcher) forget() {
	if w.gone {
		return
	}
	w.gone = true
	w.bounds.queued -= w.size
	w.queue, w.size = nil, 0
	w.bounds.watchers = slices.DeleteFunc(w.bounds.watchers, func(o *watcher) bool { return o == w })
}
