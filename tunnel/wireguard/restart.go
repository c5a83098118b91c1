package wireguard

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
)

// How a tunnel whose dead_after is short outlasts the restart of one of its ends (handover.go), which is silent meanwhile:
//
//  1. Before it reads nothing more, the end that is restarted asks the peer to wait for it ([Link.TellRestart]), until it
//     is answered or the caller's time is over. Packets flow meanwhile.
//  2. The peer takes silence for none for [tunnel.RestartWithin], also if it is restarted itself in that time.
//  3. The next program says that the end is back, or this one if it goes on. Where that is lost the wait ends by itself.
//
// Another device does not answer, and no end whose link has no addresses in the tunnel can ask.

// toldEvery keeps a peer from writing the log.
const toldEvery = time.Minute

// askAwaitEvery is how soon a question is sent again: packets get lost.
const askAwaitEvery = 20 * time.Millisecond

// askAwaitFor is for how long at most.
const askAwaitFor = time.Second

// restarting is about the restart of either end. All but asks, back and awaited belongs to the goroutine of Link.Run.
type restarting struct {
	asks    chan chan<- struct{}      // of TellRestart: closed when the peer waits
	back    atomic.Bool               // the peer is to be told that this end is there
	awaited atomic.Pointer[time.Time] // until when the peer is, for HandOver; nil: it is not

	token pathmtu.Token   // of the question
	next  time.Time       // when to ask again; zero: nothing is asked
	until time.Time       // when not to any more
	done  chan<- struct{} // for the answer
	told  time.Time       // when the log was, of a restart of the peer
}

func newRestarting() restarting {
	return restarting{asks: make(chan chan<- struct{})}
}

// TellRestart asks the peer to wait for the next program, and returns when it has answered, when there is nobody to ask, or when
// ctx is done. It may be called from any goroutine.
func (l *Link) TellRestart(ctx context.Context) {
	done := make(chan struct{})
	select {
	case l.restart.asks <- done:
	case <-l.done:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-l.done:
	case <-ctx.Done():
	}
}

// tellBack has the peer be told that this end is there. It may be called from any goroutine.
func (l *Link) tellBack() {
	l.restart.back.Store(true)
	l.notify()
}

// askAwait begins to ask. done is closed when there is nothing more to wait for.
func (l *Link) askAwait(now time.Time, done chan<- struct{}) {
	r := &l.restart
	if !l.isUp() || !l.flow.Ends.Load().IsValid() {
		close(done)
		return
	}
	rand.Read(r.token[:])
	r.next, r.until, r.done = now, now.Add(askAwaitFor), done // one that was there before is waited for no more
}

// tryRestart asks, and says that this end is back, if that is due.
func (l *Link) tryRestart(now time.Time) {
	r := &l.restart
	if !l.isUp() {
		l.awaited()
		return
	}
	if r.back.Swap(false) {
		l.awaited()
		l.sayNotice(now, pathmtu.Notice{Word: pathmtu.Back})
	}
	if !r.next.IsZero() && now.After(r.until) {
		l.awaited() // another device does not answer, and the daemon may not have been replaced
	}
	if !r.next.IsZero() && !now.Before(r.next) {
		r.next = now.Add(askAwaitEvery)
		l.sayNotice(now, pathmtu.Notice{Word: pathmtu.Await, Token: r.token})
	}
}

// await waits for a peer that is about to be restarted, and says so.
func (l *Link) await(now time.Time, question pathmtu.Token) {
	if l.awaitUntil(now.Add(tunnel.RestartWithin)) && now.Sub(l.restart.told) >= toldEvery {
		l.restart.told = now
		l.log.Info("the peer is being restarted: the tunnel stays up until it is back", "within", max(l.cfg.DeadAfter, tunnel.RestartWithin))
	}
	l.sayNotice(now, pathmtu.Notice{Word: pathmtu.Awaits, Token: question})
}

// awaitUntil has the silence of the peer not count until a time; zero: it counts. It reports whether that is new.
func (l *Link) awaitUntil(until time.Time) bool {
	began := l.live.Await(until)
	l.restart.awaited.Store(&until)
	return began
}

// awaitsFor is for how long the silence of the peer does not count yet. It may be called from any goroutine.
func (l *Link) awaitsFor(now time.Time) time.Duration {
	until := l.restart.awaited.Load()
	if until == nil || until.IsZero() {
		return 0
	}
	return max(0, until.Sub(now))
}

// awaited ends the question.
func (l *Link) awaited() {
	r := &l.restart
	if r.done != nil {
		close(r.done)
	}
	r.next, r.done = time.Time{}, nil
}
