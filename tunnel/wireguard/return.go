package wireguard

import (
	"net/netip"
	"slices"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
	"warren/tunnel/wireguard/protocol"
)

// How often the first remote is asked, and for how long it must have answered.
const (
	returnEvery = 7 * time.Second
	goodFor     = 14 * time.Second
)

// homeward is how a tunnel goes back to the first of its remotes while another carries it: the
// first is asked now and then by a handshake whose session is not used, and, when it has
// answered for a while without a failure, by one whose session is. It belongs to the goroutine
// of Link.Run.
type homeward struct {
	every, proof time.Duration
	next         time.Time // to ask; zero: not
	asked        time.Time // last; zero: not
	since        time.Time // it has answered each time; zero: it has not
	taken        bool      // with the last question
	// home is where the first remote answered from when it was taken, or tried: that may be
	// another address than was asked.
	home netip.AddrPort
}

// first returns the addresses of the first remote, if it is another that carries the tunnel.
func (l *Link) first() []netip.AddrPort {
	groups := l.tries.groups
	if !l.cfg.ReturnToFirst || !l.isUp() || len(groups) == 0 || groups[0].Remote != 0 {
		return nil
	}
	at := l.report.Status().Remote
	if len(l.cfg.Remotes) < 2 || at == l.back.home || slices.Contains(groups[0].Addrs, at) {
		return nil
	}
	if only := l.only(); only != nil && !slices.ContainsFunc(only, func(g remote.Group) bool { return g.Remote == 0 }) {
		return nil // the other transport goes back there first
	}
	return groups[0].Addrs
}

// seekFirst asks the first remote, if that is due, and reports whether the remotes are to be looked
// up again.
func (l *Link) seekFirst(now time.Time) (look bool) {
	b := &l.back
	first := l.first()
	if first == nil {
		b.next, b.asked, b.since, b.taken = time.Time{}, time.Time{}, time.Time{}, false
		return false
	}
	if now.Before(b.next) {
		return false
	}
	b.next = now.Add(b.every)
	replied := l.peer.Status(now).Replied
	switch {
	case b.asked.IsZero():
	case b.taken && !replied.Before(b.asked):
		b.taken = false
		at := l.report.Status().Remote
		if !slices.Contains(l.tries.places(), at) {
			b.home = at
			return false
		}
		// A packet that was still on its way from the place before has drawn the tunnel back.
		b.since = time.Time{}
	case replied.Before(b.asked):
		b.since = time.Time{}
		if b.taken {
			for _, a := range first {
				l.tries.book.Failed(a, now)
			}
		}
	case b.since.IsZero():
		b.since = b.asked
	}
	good, _ := l.tries.book.Split(first, now)
	b.taken = !b.since.IsZero() && now.Sub(b.since) >= b.proof && len(good) > 0
	if b.taken {
		first = good
	}
	msg := l.peer.Ask(now, b.taken)
	if msg == nil { // not now
		b.asked, b.taken, b.next = time.Time{}, false, now.Add(b.every/8)
		return false
	}
	b.asked = now
	if err := l.transmit(msg, first); err != nil {
		l.log.Debug("cannot ask the first of the remotes", "err", err)
	}
	return true
}

// tookOther reports whether the session is one that return_to_first made with a peer that has
// another key than the one before, and so is another router.
func (l *Link) tookOther(s *protocol.Status) bool {
	return l.back.taken && !s.Replied.Before(l.back.asked) && l.remote != tunnel.Identity(s.Remote)
}
