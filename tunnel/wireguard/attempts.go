package wireguard

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"warren/tunnel/internal/remote"
	"warren/tunnel/wireguard/protocol"
)

// attempts is how a link without a session goes through the places where its peer may be. It
// belongs to the goroutine of Link.Run.
//
// An attempt is a handshake that is begun with all addresses of one remote at once, by one
// message: the first answer makes the session. The next attempt begins after connect_timeout, or
// at once where nothing could be sent. A round is an attempt with each remote, by each of the keys;
// rounds are at least as far apart as the protocol wants two attempts at one place to be.
type attempts struct {
	book     remote.Book
	groups   []remote.Group // of all remotes
	complete bool           // no lookup has still to add to them

	queue []remote.Group   // to be tried in this round
	at    []netip.AddrPort // where the attempt under way is; nil: none is
	first bool             // they are of the first remote
	again int              // how often, each time with another key
	next  time.Time        // when the next attempt begins; zero: as soon as there are places
	began time.Time        // the round
	lost  lostRounds
	up    time.Time // since when the tunnel is up, or was
}

func (t *attempts) places() (all []netip.AddrPort) { return placesOf(t.groups) }

// placesOf returns the addresses of groups, each once.
func placesOf(groups []remote.Group) (all []netip.AddrPort) {
	for _, g := range groups {
		for _, a := range g.Addrs {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// restart has a round begin at once.
func (t *attempts) restart() {
	t.queue, t.at, t.again, t.next, t.began = nil, nil, 0, time.Time{}, time.Time{}
}

// came notes that a session came up.
func (t *attempts) came(now time.Time) {
	t.restart()
	t.up, t.lost = now, lostRounds{}
}

// unsent notes that the attempt under way has reached nobody.
func (t *attempts) unsent(now time.Time) {
	if len(t.at) > 0 {
		t.next, t.again = now, 0
	}
	t.lost.fails = true
}

// attemptDue is when the next attempt begins; zero is never.
func (l *Link) attemptDue(now time.Time) time.Time {
	t := &l.tries
	switch {
	case l.settled() || len(t.groups) == 0:
		return time.Time{}
	case t.next.IsZero():
		return now
	}
	return t.next
}

// tryNext begins the next attempt, if one is due, and reports whether the remotes are to be looked
// up again.
func (l *Link) tryNext(now time.Time) (look bool) {
	t := &l.tries
	if due := l.attemptDue(now); due.IsZero() || now.Before(due) {
		return false
	}
	if t.again > 0 {
		t.again--
	} else {
		for _, a := range t.at {
			t.book.Failed(a, now)
		}
		if t.at = nil; len(t.queue) == 0 {
			if earliest := t.began.Add(protocol.RekeyTimeout); !t.began.IsZero() && now.Before(earliest) {
				t.next = earliest.Add(rand.N(protocol.RekeyTimeout / 16)) // two ends do not keep colliding
				t.began = time.Time{}
				return false
			}
			l.countRound(now)
			t.queue, t.began, look = l.order(now), now, true
		}
		t.at, t.first, t.again = t.queue[0].Addrs, t.queue[0].Remote == 0, max(0, protocol.Begins(l.known)-1)
		t.queue = t.queue[1:]
	}
	t.next = now.Add(l.cfg.ConnectTimeout)
	l.flow.ForgetSource()
	l.begin(now, t.at[0])
	return look
}

// begin begins a handshake at a place. Where there is no other, the protocol keeps the pace, also
// after a session.
func (l *Link) begin(now time.Time, at netip.AddrPort) {
	if len(l.tries.places()) == 1 && l.peer.Status(now).Endpoint == at {
		l.peer.Initiate(now)
		return
	}
	l.peer.TryAt(now, at)
}

// initiateAt returns where an initiation is sent to.
func (l *Link) initiateAt(usual []netip.AddrPort) []netip.AddrPort {
	if !l.isUp() && len(l.tries.at) > 0 {
		return l.tries.at
	}
	return usual
}

// leave is called when the tunnel went down. The place where the peer was is left for another one,
// if there is one that is not as bad.
func (l *Link) leave(now time.Time, from netip.AddrPort, reason error) {
	t := &l.tries
	t.restart()
	if errors.Is(reason, errKeyRemoved) || errors.Is(reason, errReturning) {
		return
	}
	t.lost = lostRounds{}
	l.out.close()
	t.book.Ended(from, now.Sub(t.up), now)
	if slices.ContainsFunc(t.places(), func(a netip.AddrPort) bool { return a != from && !t.book.IsBad(a, now) }) {
		l.live.Elsewhere()
	}
}
