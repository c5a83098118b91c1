package tlslink

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Something on the way, such as a firewall or a NAT that has lost its state, may swallow all packets of one
// connection while those of others pass. What is heard on the others says nothing of that one, so each
// lane is watched by itself, and is replaced, lane 0 too, while the session and its other lanes go on.

// stalledRepeats is how often the oldest segment must have been sent again: with the pauses between them twice as
// long each time, that is no loss of the usual kind, whatever the round trip is.
const stalledRepeats = 2

// errStalled is why a lane is given up that was replaced because nothing was acknowledged on it.
var errStalled = errors.New("the peer acknowledges nothing on this connection")

// progress is when the peer last acknowledged anything that it had not before, or had nothing to
// acknowledge. Times are monotonic, and stand still while the machine sleeps.
type progress struct {
	acked uint64
	at    time.Duration
}

// stalled notes what is known now, and returns for how long the peer has acknowledged nothing of what is sent
// to it again and again; 0 if it has. A peer whose process reads nothing acknowledges what its kernel receives.
func (p *progress) stalled(now time.Duration, f flow) time.Duration {
	if p.at == 0 || f.acked != p.acked || f.unacked == 0 {
		p.acked, p.at = f.acked, now
		return 0
	}
	if f.repeats < stalledRepeats {
		return 0
	}
	return now - p.at
}

// stalledFor looks at a lane. It is of the goroutine of Run.
func (ln *lane) stalledFor() time.Duration {
	f, ok := ln.wire.flow()
	if !ok {
		return 0
	}
	return ln.progress.stalled(monotonic(), f)
}

// patience is for how long a lane may be stalled. With the time between two looks that is less than dead_after, after
// which the peer would be taken for dead.
func (l *Link) patience() time.Duration { return l.cfg.DeadAfter / 3 }

// isStalled reports whether it is time to replace a lane.
func (ln *lane) isStalled() bool { return ln.stalledFor() >= ln.s.link.patience() }

// rescueEvery is the time from one dial that is to replace a stalled lane to the next one, at least.
const rescueEvery = time.Second

// stallsAgain is within what time the first lane is found to be stalled for the second time on a way that lets connections begin and no
// more. Replacing it again and again would keep the tunnel there, while another remote may carry it.
const stallsAgain = time.Minute

// rescue is what becomes of a lane that is stalled. It has times of its own: a renewal that has failed (renew.go) does not keep the
// lane from being replaced. Times are as in progress.
type rescue struct {
	since time.Duration // when a look has found it stalled; 0: the last one has not
	next  time.Duration // when the next dial may be
}

// replaceStalled is called at each look back. The end that dialed replaces the lanes on which nothing is acknowledged.
func (l *Link) replaceStalled(ctx context.Context) {
	s := l.session
	for _, ln := range s.draining {
		if !ln.lost.Load() && ln.isStalled() {
			ln.lose(errStalled) // what came since on the lane that replaced it is waiting to be read
		}
	}
	for _, ln := range s.lanes {
		if ln != nil && !ln.lost.Load() {
			l.rescue(ctx, ln, monotonic(), ln.isStalled())
		}
	}
}

// rescue has a lane replaced if it is stalled. If that does not help lane 0 the session ends: its pings are not answered. The
// others TCP gives up.
func (l *Link) rescue(ctx context.Context, ln *lane, now time.Duration, stalled bool) {
	s, r := ln.s, &ln.rescue
	switch {
	case !stalled:
		r.since = 0
		return
	case r.since == 0:
		r.since = now
		if ln.number == 0 && s.dialer {
			again := s.stalledAt != 0 && now-s.stalledAt < stallsAgain
			s.stalledAt = now
			if again && l.hasOtherPlaces() {
				s.fail(errStalled)
				return
			}
		}
	}
	switch {
	case s.renewing[ln.number]: // what comes of that is waited for
	case ln.number == 0 && now-r.since >= l.hopelessAfter():
		s.fail(errStalled)
	case s.dialer && s.peer.flags&flagRenews != 0 && now >= r.next:
		l.log.Debug("nothing is acknowledged on a connection of the tunnel: replacing it", "lane", ln.number)
		r.next = now + rescueEvery
		l.replaceLane(ctx, ln.number, false)
	}
}

// hopelessAfter is how long after lane 0 was found to be stalled the session ends. Before that the peer has the time to replace it, be
// it that of a handshake on a slow path, which may be longer than dead_after.
func (l *Link) hopelessAfter() time.Duration { return max(2*l.giveUpAfter(), handshakeTimeout) }

// hasOtherPlaces reports whether there is another address than the session's at which the peer may be.
func (l *Link) hasOtherPlaces() bool {
	return len(l.cfg.Remotes) > 1 || slices.ContainsFunc(l.places, func(addrs []netip.AddrPort) bool { return len(addrs) > 1 })
}
