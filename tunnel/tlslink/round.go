package tlslink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"warren/tunnel/internal/remote"
)

// stagger is how long after an attempt at one address of a remote that at its next address begins
// (RFC 8305, section 5: the Connection Attempt Delay).
const stagger = 250 * time.Millisecond

// round is one pass through all addresses of all remotes, in the goroutine of a dial. Attempts at
// several addresses run beside one another: the next begins when the one before has failed, or
// has taken too long, and the first that succeeds is taken. So an address that says nothing
// delays the others, but a slow one may still be the one that works.
type round struct {
	l        *Link
	d        *dial
	attempts chan attempt
	running  int
	result   dialResult
	errs     []error
}

// attempt is TLS to one address, or why there is none.
type attempt struct {
	remote int
	addr   netip.AddrPort
	conn   *tls.Conn
	wire   *wire
	took   time.Duration
	err    error
}

// dialRound tries everything once.
func (l *Link) dialRound(ctx context.Context, d *dial) dialResult {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &round{l: l, d: d, attempts: make(chan attempt), result: dialResult{dial: d, addrs: make(map[int][]netip.AddrPort)}}
	plan := l.plan()
	plan.First = d.first
	for group := range plan.Groups(ctx, &d.book, func(err error) { r.errs = append(r.errs, err) }) {
		for i, addr := range group.Addrs {
			r.begin(ctx, group.Remote, addr)
			pause, last := stagger, i+1 == len(group.Addrs)
			if last {
				pause = l.cfg.ConnectTimeout
			}
			if r.wait(ctx, time.After(pause), !last) {
				return r.result
			}
		}
	}
	if !r.wait(ctx, nil, false) {
		r.result.err = remote.OneLine(r.errs)
	}
	return r.result
}

func (l *Link) plan() remote.Plan {
	return remote.Plan{
		Remotes: l.cfg.Remotes, Random: l.cfg.RandomOrder, Patience: l.cfg.ConnectTimeout,
		Resolve: func(ctx context.Context, _, name string) ([]netip.AddrPort, error) { return l.lookup(ctx, name) },
	}
}

func (r *round) begin(ctx context.Context, which int, addr netip.AddrPort) {
	r.running++
	r.result.addrs[which] = append(r.result.addrs[which], addr)
	go func() {
		a := attempt{remote: which, addr: addr}
		began := time.Now()
		a.conn, a.wire, a.err = r.l.try(ctx, r.d, addr)
		a.took = time.Since(began)
		select {
		case r.attempts <- a:
		case <-ctx.Done():
			if a.conn != nil {
				a.wire.Close()
			}
		}
	}()
}

// wait waits until the next attempt is to begin: after a while, or when all so far have failed, or
// any has if eager. It reports whether the round is over, with its result.
func (r *round) wait(ctx context.Context, enough <-chan time.Time, eager bool) (over bool) {
	for r.running > 0 {
		select {
		case <-enough:
			return false
		case <-ctx.Done():
			r.result.err = ctx.Err()
			return true
		case a := <-r.attempts:
			r.running--
			if r.take(ctx, a) {
				return true
			}
			if eager {
				return false
			}
		}
	}
	return false
}

// take says hello on a connection that came up.
func (r *round) take(ctx context.Context, a attempt) (over bool) {
	var peer hello
	err := a.err
	if err == nil {
		peer, err = r.l.introduce(ctx, r.d, a.conn, a.wire, r.patience(a.took))
	}
	switch {
	case err == nil:
		r.result.conn, r.result.wire, r.result.peer, r.result.remote = a.conn, a.wire, peer, a.remote
		return true
	case ctx.Err() != nil:
		r.result.err = ctx.Err()
		return true
	}
	if lost := (*lostWay)(nil); !errors.As(err, &lost) {
		r.result.failed = append(r.result.failed, a.addr)
	}
	r.errs = append(r.errs, fmt.Errorf("%s: %w", a.addr, err))
	return false
}

// patience is with the answer to a hello, which the other addresses wait for: it takes one round
// trip, of the two or more that the connection took.
func (r *round) patience(took time.Duration) time.Duration {
	return min(max(r.l.cfg.ConnectTimeout, 2*took), handshakeTimeout)
}

// tried notes what a round says of the addresses.
func (l *Link) tried(r *dialResult) {
	if l.places == nil {
		l.places = make([][]netip.AddrPort, len(l.cfg.Remotes))
	}
	for i, addrs := range r.addrs {
		l.places[i] = addrs
	}
	for _, a := range r.failed {
		l.book.Failed(a, time.Now())
	}
}

// leave notes that a session with an address that was dialed has ended by itself. If another one
// may be better, it is dialed without a pause.
func (l *Link) leave(s *session, reason error) {
	if lost := (*lostWay)(nil); !s.dialer || errors.As(reason, &lost) || errors.Is(reason, errKeyRemoved) || errors.Is(reason, errReturning) {
		return
	}
	now := time.Now()
	l.book.Ended(s.remote, now.Sub(s.there), now)
	for _, addrs := range l.places {
		good, _ := l.book.Split(addrs, now)
		if len(addrs) == 0 || len(good) > 0 { // or it was never looked at
			l.backoff.urgent = true
		}
	}
}
