package kernelwg

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"warren/tunnel/internal/remote"
)

// forever is longer than anything waits.
const forever = 1 << 62

// Run sees to the peer whenever the tunnel is not up, until ctx is done.
func (l *Link) Run(ctx context.Context) {
	defer l.unfollow()
	s := seeker{Link: l}
	// A session that was there already is believed for as long as an attempt.
	if seen, err := l.Look(); err == nil && !seen.Handshake.IsZero() {
		l.wait(ctx, true, l.cfg.ConnectTimeout)
	}
	for l.wait(ctx, false, forever) && ctx.Err() == nil {
		began := time.Now()
		if len(l.cfg.Remotes) > 0 {
			s.round(ctx)
		} else {
			s.await()
		}
		if _, found := l.waitOr(ctx, true, time.Until(began.Add(l.pause)), l.found); found {
			s.last = netip.AddrPort{} // the peer is made again, for a handshake at once
		}
	}
}

// seeker goes through the places where the peer may be. It belongs to the goroutine of Run.
type seeker struct {
	*Link
	book remote.Book
	came time.Time // when the tunnel came up last
	at   netip.AddrPort

	last     netip.AddrPort // the address of the last attempt
	upBefore int            // how often the tunnel had been up by then

	shook time.Time // the last handshake that the peer was asked after
}

// await is a round of an end without remotes. Something else may have changed the peer.
func (s *seeker) await() {
	err := s.dev.configure(netip.AddrPort{}, false)
	if err == nil {
		_, err = s.askAfterHandshake(s.shook.Add(1))
	}
	s.tried(err)
}

// askAfterHandshake has the peer asked if there was a handshake since a time, and reports whether there was.
func (s *seeker) askAfterHandshake(since time.Time) (shook bool, err error) {
	seen, err := s.Look()
	if err != nil || seen.Handshake.Before(since) {
		return false, err
	}
	s.shook = seen.Handshake
	s.cfg.Ask()
	return true, nil
}

// round tries all addresses once, or until the tunnel is up.
func (s *seeker) round(ctx context.Context) {
	if !s.came.IsZero() {
		s.book.Ended(s.at, time.Since(s.came), time.Now())
		s.came = time.Time{}
	}
	var errs []error
	plan := remote.Plan{
		Remotes: s.cfg.Remotes, Network: "udp", Random: s.cfg.RandomOrder, Patience: s.cfg.ConnectTimeout, Resolve: s.names.Resolver(s.resolve),
	}
	for g := range plan.Groups(ctx, &s.book, func(err error) { errs = append(errs, err) }) {
		addrs := remote.Reachable(g.Addrs)
		end := time.Now().Add(s.cfg.ConnectTimeout)
		for i, at := range addrs {
			most := share(time.Until(end), len(addrs)-i, s.cfg.ConnectTimeout)
			if i > 0 && most == 0 {
				break // the next round begins with what is left
			}
			up, err := s.try(ctx, at, most)
			switch {
			case ctx.Err() != nil:
				return
			case up:
				s.at, s.came = at, time.Now()
				return
			case err != nil:
				errs = append(errs, err)
			default:
				errs = append(errs, fmt.Errorf("no answer from %v", at))
			}
			s.book.Failed(at, time.Now())
		}
	}
	s.tried(remote.OneLine(errs))
}

// share is how long one of n addresses of a remote has, which have left all together; 0: no time is left for it. They are tried
// one after the other, as the kernel knows one place of a peer at a time.
func share(left time.Duration, n int, connectTimeout time.Duration) time.Duration {
	least := min(leastShare, connectTimeout)
	if left < least {
		return 0
	}
	return max(left/time.Duration(n), least)
}

// try has the kernel begin a handshake at an address, for at most a time, and reports whether the tunnel came up by that. Where
// one was completed, the peer is asked, and packets have some time to come through. Where there is a way to it only now, it
// begins again.
func (s *seeker) try(ctx context.Context, at netip.AddrPort, most time.Duration) (up bool, err error) {
	select {
	case <-s.found:
		s.last = netip.AddrPort{} // as Run does
	default:
	}
	began := time.Now()
	if err := s.dev.configure(at, s.renews(at)); err != nil {
		return false, err
	}
	s.follow(at)
	shook, again := false, false
	for deadline := began.Add(most); ; {
		up, found := s.waitOr(ctx, true, min(lookEach, time.Until(deadline)), s.found)
		if up {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if found && !shook && !again {
			again, began = true, time.Now() // once, as routes may come and go all the time
			deadline = began.Add(most)
			if err := s.dev.configure(at, true); err != nil {
				return false, err
			}
			s.cfg.Ask()
		}
		now, err := s.askAfterHandshake(began)
		if now && !shook {
			shook, deadline = true, time.Now().Add(takesAtMost)
		}
		switch late := !time.Now().Before(deadline); {
		case late && shook:
			return false, fmt.Errorf("%v answers handshakes, and nothing comes through", at)
		case late:
			return false, err
		}
	}
}

// renews reports whether the peer is to be made again for an attempt, and takes note of it. The kernel goes on with a
// peer that it has tried at this address since the tunnel was up last.
func (s *seeker) renews(at netip.AddrPort) bool {
	s.mu.Lock()
	ups := s.ups
	s.mu.Unlock()
	same := s.last == at && s.upBefore == ups
	s.last, s.upBefore = at, ups
	return !same
}
