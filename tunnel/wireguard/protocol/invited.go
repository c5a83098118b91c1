package protocol

import (
	"net/netip"
	"time"

	"warren/tunnel"
)

// Keys of an invitation are made of a secret that has gone over a channel of which little is known, and are replaced by others
// when the two ends have met. Until then each end has its part, so that who else has the secret gains little:
//
//   - the inviting end begins no handshake, not with the keys that are to replace them either, which the peer may not know yet;
//   - the end that joined answers none, so that nobody comes to it with the invitation: it only goes to where that says;
//   - while the one router is here, another that comes with the invitation is refused, and so is each that comes
//     when it was used.
//
// WireGuard has no word for a refusal. It is a response (section 5.4.3) to an initiation that is authentic, made with Keys.Refusal in
// place of the preshared key: only who has the invitation's secret can make it or read it, and no session comes of it. How
// old the initiation is does not matter, as routers with one invitation have several clocks.

// pickLocked returns the keys with which this end begins a handshake after some that were not answered; nil: it begins none.
func (p *Peer) pickLocked(unanswered int) *way {
	n := Begins(p.keys)
	if n == 0 {
		return nil
	}
	return p.ways[unanswered%n]
}

// Begins returns with how many of the keys, the first ones, this end begins handshakes.
func Begins(keys []Keys) int {
	switch n := len(keys); {
	case n == 0:
		return 0
	case keys[n-1].Invited == tunnel.Inviting:
		return 0
	case keys[n-1].Invited == tunnel.Used:
		return n - 1
	default:
		return n
	}
}

// refusesLocked reports whether who begins a handshake with some keys, from a place, is another router than the one that has used
// the invitation, or is using it. One that was restarted, and so comes from another port, is let in when its session
// is found to be silent.
func (p *Peer) refusesLocked(now time.Time, from netip.AddrPort, w *way) bool {
	switch w.invited {
	case tunnel.Used:
		return true
	case tunnel.Inviting:
		return from != p.endpoint && p.current.sendable(now, 1) && now.Sub(p.spoke) < rekeyTimeout
	}
	return false
}

// refusalLocked makes the response that says so. At the usual pace of answers, which the peer itself has for its own.
func (p *Peer) refusalLocked(now time.Time, w *way, r *received) ([]byte, error) {
	if !w.refusedAt.IsZero() && now.Sub(w.refusedAt) < minInitiations {
		return nil, errTooMany
	}
	w.refusedAt = now
	index := p.m.newIndex(slot{peer: p})
	defer p.m.freeIndex(index)
	to := w.remote
	to.preshared = w.refusal
	keys, msg, err := r.respond(&to, index)
	if err != nil {
		return nil, err
	}
	clear(keys.initiator[:])
	clear(keys.responder[:])
	return w.stamper.stamp(now, msg), ErrInvitationUsed
}

// isRefusal reports whether a response that is none says that the invitation was used.
func (hs *initiation) isRefusal(msg responseMsg) bool {
	if hs.way.invited != tunnel.Joined {
		return false
	}
	from := hs.way.remote
	from.preshared = hs.way.refusal
	keys, err := hs.finish(hs.way.me, &from, msg)
	clear(keys.initiator[:])
	clear(keys.responder[:])
	return err == nil
}
