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
//  2. The peer takes silence for none for [tunnel.RestartWithin].
//  3. The next program says that the end is back, or this one if it goes on. Where that is lost the wait ends by itself.
//
// Another device does not answer, and no end whose link has no addresses in the tunnel can ask.

// askAwaitEvery is how soon a question is sent again: packets get lost.
const askAwaitEvery = 20 * time.Millisecond

// restarting is about the restart of either end. All but the channels and back belongs to the goroutine of Link.Run.
type restarting struct {
	messages chan pathmtu.Restart // of the peer
	asks     chan chan<- struct{} // of TellRestart: closed when the peer waits
	back     atomic.Bool          // the peer is to be told that this end is there

	token pathmtu.Token   // of the question
	next  time.Time       // when to ask again; zero: nothing is asked
	done  chan<- struct{} // for the answer
}

func newRestarting() restarting {
	return restarting{messages: make(chan pathmtu.Restart, 8), asks: make(chan chan<- struct{})}
}

// restarts takes a message of the peer. It may be called from any goroutine. What is too much at once is lost.
func (l *Link) restarts(r pathmtu.Restart) {
	select {
	case l.restart.messages <- r:
	default:
	}
	l.notify()
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
	r.next, r.done = now, done // one that was there before is waited for no more
}

// tryRestart does what is due: it takes the peer's messages, answers them, and asks.
func (l *Link) tryRestart(now time.Time) {
	r := &l.restart
	for done := false; !done; {
		select {
		case m := <-r.messages:
			l.takeRestart(now, m)
		default:
			done = true
		}
	}
	if !l.isUp() {
		l.awaited()
		return
	}
	if r.back.Swap(false) {
		l.awaited()
		l.sayRestart(now, pathmtu.Restart{Word: pathmtu.Back})
	}
	if !r.next.IsZero() && !now.Before(r.next) {
		r.next = now.Add(askAwaitEvery)
		l.sayRestart(now, pathmtu.Restart{Word: pathmtu.Await, Token: r.token})
	}
}

func (l *Link) takeRestart(now time.Time, m pathmtu.Restart) {
	switch {
	case !l.isUp():
	case m.Word == pathmtu.Await:
		if l.live.Await(now.Add(tunnel.RestartWithin)) {
			l.log.Info("the peer is being restarted: the tunnel stays up until it is back", "within", max(l.cfg.DeadAfter, tunnel.RestartWithin))
		}
		l.sayRestart(now, pathmtu.Restart{Word: pathmtu.Awaits, Token: m.Token})
	case m.Word == pathmtu.Back:
		l.live.Await(time.Time{})
	case m.Word == pathmtu.Awaits && m.Token == l.restart.token:
		l.awaited()
	}
}

// awaited ends the question.
func (l *Link) awaited() {
	r := &l.restart
	if r.done != nil {
		close(r.done)
	}
	r.next, r.done = time.Time{}, nil
}

func (l *Link) sayRestart(now time.Time, m pathmtu.Restart) {
	packet, err := l.flow.Ends.Load().Restarting(m)
	if err == nil {
		err = l.sendInside(now, packet)
	}
	if err != nil {
		l.log.Debug("cannot say what is to be known of a restart", "err", err)
	}
}
