package tlslink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"warren/tunnel"
)

// laneDial is what a connection for a session that there is already is dialed for.
type laneDial struct {
	s      *session
	hello  hello // what is said, to the peer
	renews bool  // it is to replace a lane, which s.renewing says until the result is there; else laneDials counts it
	trial  bool  // whether larger segments pass: it replaces a lane that is as good as before
}

// laneResult is what came of it.
type laneResult struct {
	laneDial
	conn *tls.Conn
	wire *wire
	err  error
}

// widen is called at each tick and dials the lanes that traffic asks for, or, at
// the end that does not dial, asks the peer to.
func (l *Link) widen(ctx context.Context) {
	s := l.session
	l.forgetLost()
	asked := s.asked.Swap(false)
	busy, held := l.demand()
	if (busy || held) && !s.spread {
		s.spread = true
		l.route()
	}
	if !s.dialer {
		if held {
			l.askForLanes(MaxLanes)
		} else if s.loses.Load() {
			l.askForLanes(lossyLanes)
		}
		return
	}
	switch {
	case busy, held, asked:
		l.dialLanes(ctx, MaxLanes)
	case s.loses.Load():
		l.dialLanes(ctx, lossyLanes)
	}
}

// dialLanes dials those that the session lacks of its first few lanes, unless some are being dialed, or could not be a short time ago.
func (l *Link) dialLanes(ctx context.Context, few int) {
	s := l.session
	if s.laneDials > 0 || l.e.cfg.Now().Before(s.widening.next) {
		return
	}
	for _, n := range l.missingLanes() {
		if n >= few {
			return
		}
		s.laneDials++
		go l.dialLane(ctx, laneDial{s: s, hello: l.hello(s.id, n)}, s.remote)
	}
}

// askForLanes asks the peer to, if the session lacks any of its first few lanes.
func (l *Link) askForLanes(few int) {
	s, missing := l.session, l.missingLanes()
	if s.peer.flags&flagWidens != 0 && len(missing) > 0 && missing[0] < few {
		s.enqueue(encode(frameWiden, nil))
	}
}

// wantedLanes is how many a session with much traffic has.
func (l *Link) wantedLanes() int { return min(l.maxLanes, int(l.session.peer.lanes)) }

// missingLanes are the numbers of those that the session could have beyond what it
// has.
func (l *Link) missingLanes() []int {
	var missing []int
	for n := 1; n < l.wantedLanes(); n++ {
		if l.session.lanes[n] == nil && !l.session.renewing[n] {
			missing = append(missing, n)
		}
	}
	return missing
}

// forgetLost makes room for lanes that replace lost ones.
func (l *Link) forgetLost() {
	for n, ln := range l.session.lanes {
		if n > 0 && ln != nil && ln.lost.Load() {
			l.session.lanes[n] = nil
			l.session.widening.again()
			l.route()
		}
	}
}

// dialLane dials to an address of the peer.
func (l *Link) dialLane(ctx context.Context, d laneDial, to netip.AddrPort) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout+2*handshakeTimeout)
	defer cancel()
	r := laneResult{laneDial: d}
	r.conn, r.wire, r.err = l.connect(ctx, to)
	if r.err == nil {
		_, r.err = l.exchange(ctx, r.conn, r.wire, &r.hello, handshakeTimeout)
	}
	select {
	case l.laneUps <- r:
	case <-l.done:
		if r.wire != nil {
			r.wire.Close()
		}
	}
}

// laneDialed takes the result of dialLane.
func (l *Link) laneDialed(r laneResult) {
	n := int(r.hello.lane)
	if r.renews {
		r.s.renewing[n] = false
	} else {
		r.s.laneDials--
	}
	if r.err != nil {
		if r.wire != nil {
			r.wire.Close()
		}
		if l.session != r.s || r.s.parting.Load() || isRefusal(r.err, errRestart.Error()) { // the session goes on after that
			return
		}
		if r.trial {
			l.log.Debug("large packets still vanish", "lane", n, "err", r.err)
			return
		}
		l.laneFailed(r)
		return
	}
	if l.session != r.s || r.s.parting.Load() || !l.accepts(&r.wire.proof) {
		r.wire.Close()
		return
	}
	ln := newLane(r.s, n, r.conn, r.wire)
	if n > 0 && r.wire.remote() != r.s.remote { // the tunnel has gone back to its first remote since
		ln.renewAt = l.e.cfg.Now()
	}
	if r.renews {
		l.renewed(ln, r.hello.flags&flagReplaces != 0)
		return
	}
	l.addLane(ln)
	if len(l.missingLanes()) == 0 {
		r.s.widening.succeeded()
	}
}

// laneFailed notes that a connection could not be made, and says so unless it has.
func (l *Link) laneFailed(r laneResult) {
	now, text := l.e.cfg.Now(), "cannot open a further connection for the tunnel"
	var news bool
	if r.renews {
		r.s.unrenewed = r.err
		text = "cannot replace a connection of the tunnel; trying again"
		if news = now.Sub(r.s.unreplaced) >= sayAgain; news {
			r.s.unreplaced = now
		}
	} else {
		news = r.s.widening.failed(now)
	}
	level := slog.LevelDebug
	if news {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, text, "lane", r.hello.lane, "err", r.err)
}

// laneArrived answers a hello that asks to join the session.
func (l *Link) laneArrived(in *incoming) {
	s, n := l.session, int(in.hello.lane)
	switch {
	case s == nil || in.hello.session != s.id || s.dialer:
		go in.reject(noSuchSession)
		return
	case s.parting.Load():
		go in.reject(errRestart.Error())
		return
	case n == 0 && in.hello.flags&flagReplaces == 0:
		go in.reject("the tunnel is up already")
		return
	case n >= l.wantedLanes():
		go in.reject(fmt.Sprintf("no lane %d", n))
		return
	}
	h := l.hello(s.id, n)
	h.identity = in.wire.proof.local
	if _, err := in.conn.Write(encode(frameHello, h.marshal())); err != nil {
		in.close()
		return
	}
	in.leave()
	ln, old := newLane(s, n, in.conn, in.wire), s.lanes[n]
	if old != nil && !old.lost.Load() && in.hello.flags&flagReplaces != 0 {
		l.joins(ln, old)
		return
	}
	if old != nil {
		old.lose(errors.New("replaced"))
	}
	l.addLane(ln)
}

// addLane lets a lane carry its queue. Packets that are still on lane 0 may be
// overtaken, once; TCP inside the tunnel copes with that.
func (l *Link) addLane(ln *lane) {
	s := ln.s
	s.startLane(ln) // which looks at the one before
	s.lanes[ln.number] = ln
	s.spread = s.spread || l.spreads()
	l.route()
	l.followChoice()
	l.log.Debug("lane up", "lane", ln.number, "remote", ln.wire.remote())
}

// route assigns the queues to the lanes there are. Lane n carries queue n, and
// lane 0 those whose lane is missing, or all of them (spreads). With fewer lanes than queues they share. While the tunnel is paused
// the queues wait for the next session instead.
func (l *Link) route() {
	if l.paused != nil {
		return
	}
	s, n := l.session, 0
	for _, ln := range s.lanes {
		if ln != nil {
			n++
		}
	}
	for q := range l.routes {
		ln := s.lanes[l.laneOf(q)]
		if ln == nil || ln.lost.Load() {
			ln = s.lanes[0]
		}
		l.routes[q].Store(ln)
		if ln.lost.Load() { // just now
			l.routes[q].CompareAndSwap(ln, s.lanes[0])
		}
	}
	l.report.Change(func(t *tunnel.Status) { t.Lanes = n })
}

// lose gives up a lane other than lane 0: its queue goes back to lane 0, and what
// was on the way is lost, as on any network. Called by its goroutine, or by Run's.
func (ln *lane) lose(err error) {
	ln.lost.Store(true)
	ln.wire.Close()
	l := ln.s.link
	for q := range l.routes {
		l.routes[q].CompareAndSwap(ln, ln.s.first.Load())
	}
	select {
	case <-ln.s.done:
	default:
		l.log.Debug("lane down", "lane", ln.number, "err", err)
	}
}
