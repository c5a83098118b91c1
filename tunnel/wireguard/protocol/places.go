package protocol

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Several machines may have one peer's keys, of which one at a time is used, or one machine may have
// several addresses. The caller knows the places, tries them, and decides which is used. What was
// left for another may still send, and begin handshakes for as long as it has a session: also with a Peer that knows
// nothing of that, as it was added after. Several machines would draw the peer from one to the next for ever. What was asked
// whether it is there may begin one too: it has answered, and its session is not used.

var (
	errLeft  = errors.New("the peer is used at another of its places")
	errAsked = errors.New("no session is to be made of it")
)

// SetPlaces says where the peer may be found. If there are several places, an initiation that comes
// from elsewhere does not move the peer until its sender uses the answer, which it may not hear; and
// while the peer is heard where it is, initiations from the other places are not answered. One machine that was restarted and
// begins with another of its addresses is answered when nothing comes from the one before.
func (p *Peer) SetPlaces(places []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places = nil
	if len(places) > 1 {
		p.places = slices.Clone(places)
	}
	p.left = slices.DeleteFunc(p.left, func(a netip.AddrPort) bool { return !slices.Contains(p.places, a) })
	p.expectLocked(places...)
}

// SetOnly says at which of several places the peer is looked for alone; nil: at all. Initiations from the others are not answered.
func (p *Peer) SetOnly(places []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.only = slices.Clone(places)
}

// staysLocked reports whether an initiation alone does not move the peer.
func (p *Peer) staysLocked() bool { return len(p.places) > 0 && p.endpoint.IsValid() }

// wasLeftLocked reports whether the peer was left at a place, for another.
func (p *Peer) wasLeftLocked(from netip.AddrPort) bool {
	return from != p.endpoint && slices.Contains(p.left, from)
}

// isUnwantedLocked reports whether an initiation from a place is not answered, for the peer is looked for at another, or a session with
// it works there.
func (p *Peer) isUnwantedLocked(now time.Time, from netip.AddrPort) bool {
	if from == p.endpoint || !slices.Contains(p.places, from) {
		return false
	}
	if p.only != nil && !slices.Contains(p.only, from) {
		return true
	}
	// After a silence of two keepalives this end begins a handshake itself.
	return p.current.sendable(now, 1) && now.Sub(p.spoke) < max(rekeyTimeout, 2*p.keepalive)
}

// leaveLocked notes that the peer is at another place from now on, by this end's choice. Where there
// was no session nothing was left.
func (p *Peer) leaveLocked(to netip.AddrPort) {
	if from := p.endpoint; p.current != nil && from != to && slices.Contains(p.places, from) && !slices.Contains(p.left, from) {
		p.left = append(p.left, from)
	}
	p.left = slices.DeleteFunc(p.left, func(a netip.AddrPort) bool { return a == to })
	p.endpoint, p.twin.spoke = to, time.Time{}
	p.expectLocked()
}

// TryAt has a handshake begin at once, at a place, whatever was tried before. The pace is the
// caller's: WireGuard's is one in 5 s, [RekeyTimeout], at each place.
func (p *Peer) TryAt(now time.Time, to netip.AddrPort) {
	p.mu.Lock()
	if !p.removed {
		if p.timers.handshake.IsZero() {
			p.tries = 0
		}
		p.leaveLocked(to)
		p.attempt, p.timers.handshake = now, now
	}
	p.unlock()
}

// Leave ends the session with the peer, which is to be found at another of its places: one that has the keys too is where it is,
// and is not what the caller looks for.
func (p *Peer) Leave() {
	p.mu.Lock()
	if p.current != nil && slices.Contains(p.places, p.endpoint) && !slices.Contains(p.left, p.endpoint) {
		p.left = append(p.left, p.endpoint)
	}
	p.dropOursLocked()
	p.eraseLocked()
	p.timers = timers{}
	p.unlockChanged()
}

// question is an initiation to a place where the peer is not now.
type question struct {
	*initiation
	take bool // the answer makes the session, and the place, that are used
}

// Ask returns an initiation for places where the peer is not now, with the first of its keys, or the
// next after a question without an answer. Without take, the answer only
// shows in [Status.Replied]; the session that it makes at the other end is never used. With take,
// the session is used from the answer on, and the peer is where that comes from. What is on its
// way in the session before still arrives. Ask returns nil while the session is not in use at both
// ends, or a handshake is under way, which ends a question.
func (p *Peer) Ask(now time.Time, take bool) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.question != nil {
		p.unanswered++
		p.dropQuestionLocked()
	}
	// The other end would forget a session that it does not use yet.
	w := p.pickLocked(p.unanswered)
	if p.removed || w == nil || p.current == nil || !p.current.alive || p.next != nil || !p.timers.handshake.IsZero() {
		return nil
	}
	hs, msg := p.initiationLocked(now, w)
	if hs == nil {
		return nil
	}
	p.question = &question{hs, take}
	if take {
		p.initiated = now
	}
	return w.stamper.stamp(now, msg)
}

// begunLocked returns the handshake of this end with an index of ours, or nil, and whether it is a
// question.
func (p *Peer) begunLocked(index uint32) (hs *initiation, asked bool) {
	switch {
	case p.ours != nil && p.ours.index == index:
		return p.ours, false
	case p.question != nil && p.question.index == index:
		return p.question.initiation, true
	}
	return nil, false
}

// answeredLocked takes note of the answer to a question, and reports whether a session is to be
// made of it.
func (p *Peer) answeredLocked(now time.Time) (take bool) {
	take, p.replied = p.question.take, now
	if take {
		p.question = nil // its index is now the session's
	} else {
		p.dropQuestionLocked()
	}
	return take
}

func (p *Peer) dropQuestionLocked() {
	if p.question != nil {
		p.m.freeIndex(p.question.index)
		p.question.erase()
		p.question = nil
	}
}
