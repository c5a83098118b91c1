package tlslink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"warren/tunnel"
)

// How a tunnel goes back to the first of its remotes while another carries it: the first is asked
// now and then whether it is there, and taken when it has answered for a while without a
// failure. An address of the router that the session is with takes over as a lane that is
// replaced does (renew.go), so that nothing is lost. Another router has a session of its own, which
// is made before the one there is ends.

// How often the first remote is asked, and for how long it must have answered.
const (
	returnEvery = 5 * time.Second
	goodFor     = 15 * time.Second
)

const takesOver = "the first of the remotes is there again and takes over"

var errReturning = errors.New(takesOver)

// noSuchSession refuses a connection for a lane of a session that there is not.
const noSuchSession = "no such session"

// homeward is what is known of the first remote. It belongs to the goroutine of Link.Run.
type homeward struct {
	every, proof time.Duration
	asking       bool      // a goroutine does, or takes it
	next         time.Time // to ask
	since        time.Time // it has answered each time; zero: it has not
}

// returnResult is what came of asking the first remote, or of taking it.
type returnResult struct {
	s      *session
	addr   netip.AddrPort // that was connected, or failed; not valid if there was none
	err    error
	taking bool // it was to be taken, for which s.renewing has lane 0 until the result is there

	// If it was taken.
	conn *tls.Conn
	wire *wire
	peer hello // its answer
}

// seekFirst is called at each look back.
func (l *Link) seekFirst(ctx context.Context) {
	s, b, now := l.session, &l.back, time.Now()
	if !l.cfg.ReturnToFirst || !s.dialer || s.isHome() || b.asking || s.renewing[0] || s.isDraining(0) || now.Before(b.next) {
		return
	}
	b.asking, b.next = true, now.Add(b.every)
	// The peer's link refuses a lane of a session that there is not: it is at work.
	h := l.hello(newSessionID(), 1)
	h.lanes = max(h.lanes, 2)
	go func() {
		r := returnResult{s: s}
		var addrs []netip.AddrPort
		addrs, r.err = l.lookup(ctx, l.cfg.Remotes[0])
		for _, r.addr = range addrs {
			if r.err = l.isAtWork(ctx, r.addr, h); r.err == nil {
				break
			}
		}
		l.tell(r)
	}()
}

// isAtWork returns why the peer's link does not seem to be at work at an address.
func (l *Link) isAtWork(ctx context.Context, addr netip.AddrPort, h hello) error {
	_, w, _, err := l.greetAt(ctx, addr, &h)
	if err == nil {
		w.Close()
		return protocolError("an answer for a session that there is not")
	}
	if isNoSuchSession(err) {
		return nil
	}
	return err
}

func isNoSuchSession(err error) bool { return isRefusal(err, noSuchSession) }

func isRefusal(err error, text string) bool {
	no := (*refusal)(nil)
	return errors.As(err, &no) && no.text == text
}

// greetAt connects to an address and says hello.
func (l *Link) greetAt(ctx context.Context, to netip.AddrPort, mine *hello) (*tls.Conn, *wire, hello, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout+handshakeTimeout)
	defer cancel()
	conn, w, err := l.connect(ctx, to)
	if err != nil {
		return nil, nil, hello{}, err
	}
	peer, err := l.exchange(ctx, conn, w, mine, handshakeTimeout)
	if err != nil {
		w.Close()
		return nil, nil, hello{}, err
	}
	return conn, w, peer, nil
}

func (l *Link) tell(r returnResult) {
	select {
	case l.returns <- r:
	case <-l.done:
		if r.wire != nil {
			r.wire.Close()
		}
	}
}

// returned takes what came of the first remote.
func (l *Link) returned(ctx context.Context, r returnResult) {
	b, now := &l.back, time.Now()
	b.asking = false
	if r.taking {
		r.s.renewing[0] = false
	}
	switch {
	case l.session != r.s || r.s.parting.Load() || r.wire != nil && !l.accepts(&r.wire.proof):
		b.since = time.Time{}
		if r.wire != nil {
			r.wire.Close()
		}
	case r.err != nil:
		l.log.Debug("the first of the remotes is not there", "remote", r.addr, "err", r.err)
		b.since = time.Time{}
		if r.taking {
			l.book.Failed(r.addr, now)
		}
	case r.wire != nil:
		b.since = time.Time{}
		l.goBack(r)
	case b.since.IsZero():
		b.since = now
	case now.Sub(b.since) >= b.proof && !l.book.IsBad(r.addr, now):
		l.takeFirst(ctx, r.s, r.addr)
	}
}

// takeFirst connects to the first remote, be it of the router that the session is with, where the
// connection replaces lane 0, or of another, for which it begins a session. It has no effect while lane 0 is being
// replaced otherwise, as may have begun since the first remote was asked: it will be asked again.
func (l *Link) takeFirst(ctx context.Context, s *session, addr netip.AddrPort) {
	if s.renewing[0] || s.isDraining(0) {
		return
	}
	h := l.hello(s.id, 0)
	h.flags |= flagReplaces
	if s.peer.flags&flagRenews == 0 {
		h = l.hello(newSessionID(), 0)
	}
	l.back.asking, s.renewing[0] = true, true
	go func() {
		r := returnResult{s: s, addr: addr, taking: true}
		r.conn, r.wire, r.peer, r.err = l.greetAt(ctx, addr, &h)
		if r.err != nil {
			r.err = fmt.Errorf("take over: %w", r.err)
		}
		l.tell(r)
	}()
}

// goBack has the first remote carry the tunnel. A connection to it that has failed meanwhile changes nothing.
func (l *Link) goBack(r returnResult) {
	s, before := r.s, r.s.remote
	if r.peer.session != s.id || r.peer.instance != s.peer.instance {
		l.goBackToAnother(r)
		return
	}
	if !l.renewed(newLane(s, 0, r.conn, r.wire), true) {
		l.book.Failed(r.addr, time.Now())
		return
	}
	l.log.Info(takesOver, "remote", r.addr, "before", before)
	s.which, s.remote, s.there = 0, r.wire.remote(), time.Now()
	s.stalledAt = 0
	s.widening.succeeded() // what kept further lanes from being dialed was on the other way
	l.report.Change(func(t *tunnel.Status) { t.Remote = s.remote })
	for _, ln := range s.lanes[1:] {
		if ln != nil {
			ln.renewAt, ln.nextTry = l.e.cfg.Now(), time.Time{}
		}
	}
}

// goBackToAnother has a session with another router begin, and the one that there is end.
func (l *Link) goBackToAnother(r returnResult) {
	next := newSession(l, r.conn, r.wire, r.peer, true)
	if err := next.lanes[0].send(pingFrame()); err != nil {
		r.wire.Close()
		l.book.Failed(r.addr, time.Now())
		l.log.Debug("the first of the remotes is not there", "remote", r.addr, "err", err)
		return
	}
	l.log.Info(takesOver, "remote", r.addr, "before", r.s.remote)
	next.speak() // the end of the session before takes its time
	l.endSession(errReturning, true)
	next.which, next.began = 0, time.Now()
	next.there = next.began
	l.begin(next)
}
