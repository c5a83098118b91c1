package protocol

import (
	"net/netip"
	"time"
)

// stale is what came of initiations that are authentic and older than one that was answered.
// A peer whose clock was fast once sends such ones until the time is reached that it had
// then, and no other device answers them.
type stale struct {
	by        time.Duration // how much older the latest was
	at        time.Time     // when it came; zero: a newer one was answered since
	countered time.Time     // when we last began a handshake because of one
}

// How often a stale initiation makes this end begin a handshake: seldom while the session
// works, so that who repeats what was recorded does not change sessions with it.
const (
	counterPause        = rekeyTimeout
	counterPauseWorking = time.Minute
)

// counterLocked begins a handshake of this end's own, because the peer may not be able to:
// our clock is right for the peer, or it would not have taken our last one either. A stale
// initiation may as well be one that was recorded, from anywhere. So nothing is sent but to
// where the peer was heard last, and it moves nothing. Only the port may be another one,
// which a peer that was started anew often has: then counterLocked returns the initiation,
// to send there.
func (p *Peer) counterLocked(now time.Time, from netip.AddrPort, w *way) []byte {
	if Begins(p.keys) == 0 {
		return nil // it is for the peer to begin
	}
	pause := counterPause
	if s := p.current; s.sendable(now, 1) && now.Sub(s.created) < rekeyAfterTime && now.Sub(p.spoke) < rekeyTimeout {
		pause = counterPauseWorking
	}
	if !p.stale.countered.IsZero() && now.Sub(p.stale.countered) < pause {
		return nil
	}
	p.stale.countered = now
	paced := !p.initiated.IsZero() && now.Sub(p.initiated) < rekeyTimeout
	if paced || from.Addr() != p.endpoint.Addr() {
		p.wantHandshakeLocked(now) // if one is under way, it goes on
		return nil
	}
	p.attempt = now
	return p.beginLocked(now, w)
}
