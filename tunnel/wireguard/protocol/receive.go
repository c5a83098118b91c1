package protocol

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"warren/tunnel"
)

// initiation answers a peer that begins a handshake.
func (m *Machine) initiation(now time.Time, from netip.AddrPort, me *identity, b []byte) Received {
	r, err := openInitiation(me, parseInitiation(b))
	if err != nil {
		return Received{Err: err}
	}
	defer r.erase()
	w := m.way(me, r.static)
	if w == nil {
		return Received{Err: &StrangerError{r.static}}
	}
	p := w.peer
	p.mu.Lock()
	if p.removed || !slices.Contains(p.ways, w) {
		p.mu.Unlock()
		return Received{Err: errRemoved}
	}
	reply, err := p.answerLocked(now, from, w, r)
	if errors.Is(err, errStale) {
		reply = p.counterLocked(now, from, w)
		p.unlockChanged()
		return Received{Reply: reply, Err: err}
	}
	if errors.Is(err, ErrInvitationUsed) {
		p.mu.Unlock()
		return Received{Reply: reply, Err: err}
	}
	if errors.Is(err, errTwin) || errors.Is(err, errLeft) {
		p.unlockChanged()
		return Received{Err: err}
	}
	if err != nil {
		p.mu.Unlock()
		return Received{Err: err}
	}
	if p.endpoint != from && p.isLatestLocked(now) && !p.staysLocked() {
		p.endpoint, p.twin.spoke = from, time.Time{}
	}
	p.heardLocked(now, false)
	p.sentLocked(now, false)
	p.unlockChanged()
	m.meant(me, from)
	return Received{Peer: p, Reply: reply}
}

// answerLocked makes the response, and the session that it begins.
func (p *Peer) answerLocked(now time.Time, from netip.AddrPort, w *way, r *received) ([]byte, error) {
	ts, err := r.prove(&w.remote)
	if err != nil {
		return nil, err
	}
	if w.invited == tunnel.Joined {
		return nil, errBegun
	}
	if p.refusesLocked(now, from, w) {
		return p.refusalLocked(now, w, r)
	}
	if ts == w.latest {
		return nil, errReplay
	}
	if !ts.after(&w.latest) {
		p.stale.by, p.stale.at = w.latest.since(&ts), now
		return nil, errStale
	}
	if !w.answered.IsZero() && now.Sub(w.answered) < minInitiations {
		return nil, errTooMany
	}
	if p.isUnwantedLocked(now, from) {
		return nil, errLeft
	}
	if p.isTwinLocked(now, from) {
		return nil, errTwin
	}
	index := p.m.newIndex(slot{peer: p})
	keys, msg, err := r.respond(&w.remote, index)
	if err != nil {
		p.m.freeIndex(index)
		return nil, err
	}
	w.latest, w.answered, p.stale.by, p.stale.at = ts, now, 0, time.Time{}
	if p.next != nil {
		p.unused++
	}
	s := p.newSessionLocked(now, w, &keys, index, r.sender, false)
	// What the initiator has not used by now it has lost, or has given up.
	p.replaceLocked(&p.next, s)
	p.replaceLocked(&p.previous, nil)
	return w.stamper.stamp(now, msg), nil
}

// response finishes a handshake that we began.
func (m *Machine) response(now time.Time, from netip.AddrPort, b []byte, via any) Received {
	msg := parseResponse(b)
	at := m.slot(msg.receiver)
	p := at.peer
	if p == nil || at.session != nil {
		return Received{Err: errIndex}
	}
	p.mu.Lock()
	hs, asked := p.begunLocked(msg.receiver)
	if hs == nil {
		p.mu.Unlock()
		return Received{Err: errIndex}
	}
	keys, err := hs.finish(hs.way.me, &hs.way.remote, msg)
	if err != nil {
		if hs.isRefusal(msg) {
			p.refused, err = now, ErrInvitationUsed
		} else {
			p.unopened = now
		}
		p.unlockChanged()
		return Received{Err: err}
	}
	hs.erase()
	p.refused = time.Time{}
	if asked && !p.answeredLocked(now) {
		p.unlockChanged()
		return Received{Err: errAsked}
	}
	if !asked {
		p.ours, p.tries = nil, 0 // its index is now the session's
		p.timers.handshake = time.Time{}
	}
	s := p.newSessionLocked(now, hs.way, &keys, msg.receiver, msg.sender, true)
	s.rtt, s.via = now.Sub(p.initiated), via
	p.adoptLocked(s)
	if p.isLatestLocked(now) {
		p.leaveLocked(from)
		p.twin.spoke = now
	}
	p.heardLocked(now, false)
	p.spoke = later(p.spoke, now)
	// The responder may send only after it has heard something of this session. If
	// there is nothing to say, an empty packet does it (section 6.5).
	p.timers.confirm = now
	p.unlockChanged()
	return Received{Peer: p}
}

// isLatestLocked reports whether nothing authentic was read from the sockets after a time. If
// something was, what was read then does not say where the peer is: a handshake waits for its
// turn, and batches of packets are opened side by side.
func (p *Peer) isLatestLocked(now time.Time) bool { return !now.Before(p.heard) }

// adoptLocked makes the session current that we made as the initiator. One that
// we made as the responder and that was never used is kept for packets on their
// way, rather than the current one.
func (p *Peer) adoptLocked(s *session) {
	p.unused, p.shook = 0, s.created
	if p.next != nil {
		p.next.crossed = true
		p.replaceLocked(&p.previous, p.next)
		p.next = nil
		p.replaceLocked(&p.current, s)
		return
	}
	p.replaceLocked(&p.previous, p.current)
	p.current = s
}

// agreeLocked makes both ends use the same session where their handshakes crossed: that of
// the end with the greater public key, or that with the keys that are greater if they were
// begun with different ones, once the peer is seen to use it. Otherwise each would go on
// with its own, both would renew at the same time, ever again, and each would drop with the
// other's initiation the session that the other still sends in.
func (p *Peer) agreeLocked(s *session) (changed bool) {
	if !s.crossed || s != p.previous || p.current == nil || p.current.way.precedes(s.way) {
		return false
	}
	p.previous, p.current = p.current, s
	s.crossed, s.rtt = false, p.previous.rtt
	return true
}

// cookie keeps a cookie for the next message of a handshake.
func (m *Machine) cookie(now time.Time, b []byte) Received {
	msg := parseCookie(b)
	at := m.slot(msg.receiver)
	p := at.peer
	if p == nil {
		return Received{Err: errIndex}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var w *way
	if at.session != nil {
		w = at.session.way
	} else if hs, _ := p.begunLocked(msg.receiver); hs != nil {
		w = hs.way
	} else {
		return Received{Err: errIndex}
	}
	// A cookie proves that the sender has seen our message and knows the peer's
	// public key. It does not prove that it is the peer, so that it moves nothing.
	if err := w.stamper.take(now, msg); err != nil {
		return Received{Err: err}
	}
	return Received{}
}

// lastMinuteLocked asks for a handshake when a session is about to end and we have
// nothing to send that would ask for it (section 6.2).
func (p *Peer) lastMinuteLocked(now time.Time, s *session) {
	if s.initiator && s == p.current && !s.askedToRest &&
		now.Sub(s.created) >= rejectAfterTime-keepaliveTimeout-rekeyTimeout {
		s.askedToRest = true
		p.wantHandshakeLocked(now)
	}
}
