package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

// turns lets so many answers be under way at a time. Those that wait come in this order: root's;
// the users' with the fewest answers under way; the newest, or old ones that nobody reads could
// keep it waiting.
type turns struct {
	mu      *sync.Mutex
	most    int // one of them is for trusted clients alone
	busy    map[*answer]struct{}
	waiting []*waiter // the oldest first
}

type waiter struct {
	answer *answer
	ready  chan struct{} // closed when it is the answer's turn
}

// answer is one answer that is under way. Its sends are of one goroutine.
type answer struct {
	client client
	turns  *turns

	mu    sync.Mutex
	since time.Time     // when the send began that is under way; zero: none is
	spent time.Duration // in the sends before
}

// wait waits for the turn to answer an RPC. The caller must end it.
func (t *turns) wait(ctx context.Context) (*answer, error) {
	a := &answer{client: clientOf(ctx), turns: t}
	t.mu.Lock()
	if t.admits(a.client) {
		t.busy[a] = struct{}{}
		t.mu.Unlock()
		return a, nil
	}
	w := &waiter{answer: a, ready: make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()

	look := time.NewTicker(busyLook)
	defer look.Stop()
	for {
		select {
		case <-w.ready:
			return a, nil
		case <-ctx.Done():
			if !t.leave(w) {
				a.end()
			}
			return nil, status.FromContextError(ctx.Err()).Err()
		case now := <-look.C:
			t.closeSlowest(a.client, now)
		}
	}
}

// admits reports whether one more answer may begin. It is called with mu held.
func (t *turns) admits(c client) bool {
	others := 0
	for a := range t.busy {
		if !a.client.trusted {
			others++
		}
	}
	return len(t.busy) < t.most && (c.trusted || others < t.most-1)
}

// leave reports whether w still waited.
func (t *turns) leave(w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, w)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	return i >= 0
}

// end gives the turn to one of those that wait.
func (a *answer) end() {
	t := a.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.busy, a)
	if next := t.next(); next >= 0 {
		w := t.waiting[next]
		t.waiting = slices.Delete(t.waiting, next, next+1)
		t.busy[w.answer] = struct{}{}
		close(w.ready)
	}
}

// next chooses among those that wait, -1 for none. It is called with mu held.
func (t *turns) next() int {
	under := t.perUser()
	best := -1
	for i, w := range t.waiting {
		c := w.answer.client
		if !t.admits(c) {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		d := t.waiting[best].answer.client
		if c.trusted != d.trusted {
			if c.trusted {
				best = i
			}
		} else if under[c.user] <= under[d.user] {
			best = i
		}
	}
	return best
}

// perUser counts the answers under way. It is called with mu held.
func (t *turns) perUser() map[int64]int {
	under := map[int64]int{}
	for a := range t.busy {
		under[a.client.user]++
	}
	return under
}

// closeSlowest closes the connection of the answer whose client reads the slowest, if that is
// too slow while another client waits. Root's makes room for root's alone, and a user's for that of
// another user with fewer answers under way.
func (t *turns) closeSlowest(waits client, now time.Time) {
	t.mu.Lock()
	under := t.perUser()
	var slowest *answer
	var most time.Duration
	for a := range t.busy {
		switch {
		case a.client.trusted && !waits.trusted:
			continue
		case a.client.trusted != waits.trusted, a.client.user == waits.user:
		case under[a.client.user] <= under[waits.user]:
			continue
		}
		if current, total := a.slowness(now); (current >= busyStall || total >= busySlow) && total > most {
			slowest, most = a, total
		}
	}
	t.mu.Unlock()
	if slowest != nil {
		_ = slowest.client.conn.Close()
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
	stalled := time.AfterFunc(stallTime, func() { _ = a.client.conn.Close() })
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
