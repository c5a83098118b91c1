package tlslink

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// minGiveUp is how long what is sent on a lane other than lane 0 may stay without an
// acknowledgement at least. TCP sends again what was lost after 200 ms, often.
const minGiveUp = 500 * time.Millisecond

func (l *Link) giveUpAfter() time.Duration { return max(l.cfg.DeadAfter, minGiveUp) }

// follow has a lane given up when there is no way for it any more, and with lane 0 the session.
// If the way is another the peer must prove that it is reached by that.
func (ln *lane) follow() {
	s := ln.s
	if s.link.cfg.Paths == nil {
		return
	}
	local := addrPort(ln.wire.LocalAddr())
	ln.wire.followed(s.link.cfg.Paths.Follow(local, ln.wire.remote(), func(lost bool, why string) {
		switch {
		case !lost:
			select {
			case s.doubts <- why:
			default: // one will be asked for anyway
			}
		case ln.isVital():
			s.fail(&lostWay{why})
		default:
			ln.lose(&lostWay{why})
		}
	}))
}

// ways are those to the addresses that were dialed in a round. They are followed until the next
// one: what comes of the round depends on them, and when the next is worth trying.
type ways struct {
	mu    sync.Mutex
	over  bool
	stops []func()
}

// end may be called on nil.
func (w *ways) end() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for _, stop := range w.stops {
		stop()
	}
	w.stops = nil
}

func (w *ways) follow(p Paths, remote netip.AddrPort, changed func(lost bool, why string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.stops = append(w.stops, p.Follow(netip.AddrPort{}, remote, changed))
	}
}

// try is connect that gives up when the way to the address is lost. If the way is another, the
// round begins again.
func (l *Link) try(ctx context.Context, d *dial, addr netip.AddrPort) (*tls.Conn, *wire, error) {
	if l.cfg.Paths == nil {
		return l.connect(ctx, addr)
	}
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.ways.follow(l.cfg.Paths, addr, func(lost bool, why string) {
		if lost {
			cancel(&lostWay{why})
			return
		}
		select {
		case l.moved <- struct{}{}:
		default:
		}
	})
	conn, w, err := l.connect(attempt, addr)
	if lost := (*lostWay)(nil); err != nil && errors.As(context.Cause(attempt), &lost) {
		err = lost
	}
	return conn, w, err
}

// redial is called when there is another way to a remote. What is being dialed may wait for
// answers that come to an address of the way before, and what is to be dialed later may work now.
func (l *Link) redial() {
	if l.session != nil {
		return // it has its own
	}
	l.endDial()
	l.decideHeld()
	if l.session == nil {
		l.backoff = backoff{due: true, urgent: true}
	}
}
