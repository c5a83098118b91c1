package protocol

import (
	"math/rand/v2"
	"time"

	"warren/tunnel/wireguard/aead"
)

// Limits of section 6.1.
const (
	rekeyAfterMessages  = 1 << 60
	rejectAfterMessages = 1<<64 - 1<<13 - 1
	rekeyAfterTime      = 120 * time.Second
	rejectAfterTime     = 180 * time.Second
	rekeyAttemptTime    = 90 * time.Second
	rekeyTimeout        = 5 * time.Second
	keepaliveTimeout    = 10 * time.Second

	eraseAfterTime = 3 * rejectAfterTime // section 6.3
	maxJitter      = time.Second / 3     // on rekeyTimeout, so that two ends do not keep colliding
	// minInitiations is how far apart initiations of one peer with the same keys are that
	// are answered: each costs us two Diffie-Hellmans more.
	minInitiations = 20 * time.Millisecond
)

// For who keeps a session alive without data: how long one can carry packets, and
// when its initiator should have renewed it.
const (
	RejectAfterTime = rejectAfterTime
	RekeyAfterTime  = rekeyAfterTime
	RekeyTimeout    = rekeyTimeout // between two attempts at a handshake
)

// timers are the moments at which a peer has something to do; zero is never. Each
// is armed by something that arrives or is sent, and disarmed by the opposite.
//
//	                                   handshake  passive  noReply  persistent  confirm  erase
//	data sent                              -        off     +15 s    +interval    off      -
//	data received                          -       +10 s     off         -         -       -
//	anything else authentic sent           -        off       -      +interval     -       -
//	anything else authentic received       -         -       off         -         -       -
//	session made as the initiator         off        -        -          -        now    +540 s
//	session made as the responder          -         -        -          -         -     +540 s
//	no session, or an old one             now        -        -          -         -       -
type timers struct {
	handshake  time.Time // send an initiation
	passive    time.Time // send a keepalive, because data came and none went (section 6.5)
	noReply    time.Time // begin a handshake, because data went and nothing came (section 6.5)
	persistent time.Time // send a keepalive to keep NATs and the far end's watch happy
	confirm    time.Time // send a keepalive if there is no data: the responder waits for something
	erase      time.Time // forget all keys (section 6.3)

	again bool // data came while passive was armed
}

func jitter() time.Duration { return rand.N(maxJitter) }

// next returns the earliest of the timers.
func (t *timers) next() time.Time {
	var first time.Time
	for _, at := range [...]time.Time{t.handshake, t.passive, t.noReply, t.persistent, t.confirm, t.erase} {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// due reports whether a timer has run out, and disarms it.
func due(at *time.Time, now time.Time) bool {
	if at.IsZero() || at.After(now) {
		return false
	}
	*at = time.Time{}
	return true
}

// sentLocked notes that something authentic goes out.
func (p *Peer) sentLocked(now time.Time, data bool) {
	p.timers.passive, p.timers.again = time.Time{}, false
	if p.keepalive > 0 {
		p.timers.persistent = now.Add(p.keepalive)
	}
	if !data {
		return
	}
	p.timers.confirm = time.Time{}
	if p.timers.noReply.IsZero() {
		p.timers.noReply = now.Add(keepaliveTimeout + rekeyTimeout + jitter())
	}
}

// heardLocked notes that something authentic came in. Of what was read from the sockets at
// different times, the later may be opened first.
func (p *Peer) heardLocked(now time.Time, data bool) {
	p.heard = later(p.heard, now)
	p.timers.noReply = time.Time{}
	if !data {
		return
	}
	if p.timers.passive.IsZero() {
		p.timers.passive = now.Add(keepaliveTimeout)
	} else {
		p.timers.again = true
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wantHandshakeLocked has a handshake begin as soon as the pace allows. While one
// is under way, its time starts anew (section 6.4).
func (p *Peer) wantHandshakeLocked(now time.Time) {
	p.attempt = now
	if !p.timers.handshake.IsZero() {
		return
	}
	p.timers.handshake, p.tries = now, 0
	if earliest := p.initiated.Add(rekeyTimeout); !p.initiated.IsZero() && earliest.After(now) {
		p.timers.handshake = earliest
	}
}

// NextDeadline returns when [Peer.Tick] has to be called next; zero is not before
// something else happens.
func (p *Peer) NextDeadline() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reported = p.timers.next()
	return p.reported
}

// Tick does what is due and returns the messages to send to [Status.Endpoint],
// which are the caller's.
func (p *Peer) Tick(now time.Time) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.removed {
		return nil
	}
	var out [][]byte
	if due(&p.timers.erase, now) {
		p.eraseLocked()
	}
	if due(&p.timers.noReply, now) {
		p.wantHandshakeLocked(now)
	}
	again := p.timers.again
	passive, persistent := due(&p.timers.passive, now), due(&p.timers.persistent, now)
	if due(&p.timers.confirm, now) || persistent || passive {
		out = p.keepaliveLocked(now, out)
		if passive && again {
			p.timers.passive = now.Add(keepaliveTimeout)
		}
	}
	if due(&p.timers.handshake, now) {
		out = p.initiateLocked(now, out)
	}
	return out
}

// keepaliveLocked appends an empty data message, if there is a session; else it
// asks for one.
func (p *Peer) keepaliveLocked(now time.Time, out [][]byte) [][]byte {
	s := p.current
	if !s.sendable(now, 1) {
		p.wantHandshakeLocked(now)
		if p.keepalive > 0 {
			p.timers.persistent = now.Add(p.keepalive)
		}
		return out
	}
	msg := make([]byte, Overhead)
	seal(s.sending, []aead.Message{unsealed(msg, s.sent)}, s.remote)
	s.sent++
	p.sentLocked(now, false)
	p.refreshLocked(now, s)
	return append(out, msg)
}

// refreshLocked asks for a handshake if a session that was just sent with is
// getting old (section 6.2). Only the initiator does so by time, so that not both
// ends do.
func (p *Peer) refreshLocked(now time.Time, s *session) {
	if p.timers.handshake.IsZero() &&
		(s.sent > rekeyAfterMessages || s.initiator && now.Sub(s.created) >= rekeyAfterTime) {
		p.wantHandshakeLocked(now)
	}
}
