package protocol

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/aead"
)

// ErrNoSession is returned where packets cannot be sealed now. A handshake has been
// asked for; the packets are the caller's to keep or drop.
var ErrNoSession = errors.New("no session with the peer")

// PeerConfig is one peer.
type PeerConfig struct {
	// Keys are those that it is known by, at least one. Handshakes with any of them are
	// answered; this end begins them with the first, and after one without an answer with
	// the next.
	Keys []Keys
	// PrivateKey, PublicKey and PresharedKey are another way to write that there is one.
	PrivateKey   PrivateKey
	PublicKey    PublicKey
	PresharedKey PresharedKey
	Endpoint     netip.AddrPort // where it is; invalid until the peer has been heard
	// Keepalive is how long nothing may be sent before an empty packet is; 0 is
	// for ever.
	Keepalive time.Duration
	// Notify is called when the deadline has moved closer or the status may have
	// changed, with no lock held. It must not block. May be nil.
	Notify func()
}

// Peer is the far end of one tunnel. Its methods may be called from any goroutine.
// The times given to them should not run backwards.
type Peer struct {
	m         *Machine
	keepalive time.Duration
	notify    func()

	mu         sync.Mutex // before that of the machine
	keys       []Keys
	ways       []*way // the keys, made ready
	tries      int    // initiations in a row that were not answered
	removed    bool
	handed     bool // removed because of HandOver alone
	endpoint   netip.AddrPort
	heard      time.Time // when anything authentic came last
	spoke      time.Time // the same without initiations
	stale      stale
	twin       twin
	unused     int       // of our responses in a row, how many the peer has not used
	unopened   time.Time // when a response last came that could not be opened
	refused    time.Time // when one last said that the invitation was used; zero: a session was made since
	initiated  time.Time // when we last sent one
	attempt    time.Time // when we began to try
	ours       *initiation
	question   *question        // put to a place where the peer is not now; nil: none is
	unanswered int              // questions so far
	replied    time.Time        // when one was answered last
	places     []netip.AddrPort // where the peer may be, if these are several
	left       []netip.AddrPort // of them, where it was left for another
	only       []netip.AddrPort // of them, where it is looked for alone; nil: at all
	stamped    timestamp        // of the initiation that we sent last
	timers     timers
	sent, got  uint64    // by the peer in all sessions, and of that to this end
	reported   time.Time // what NextDeadline last said

	// The three sessions of section 6.3. next is what we made as the responder and
	// the initiator has not used yet; until then current is sent with.
	previous, current, next *session

	shook time.Time // when the session was made that became the current one last
}

// Status is a peer at one moment.
type Status struct {
	Endpoint    netip.AddrPort // where it was heard last, or was said to be
	Established bool           // packets can be sealed now
	Initiator   bool           // of the current session, this end was

	// Local and Remote are the two ends' public keys in the current session, or those that
	// the next handshake is begun with. Key is the name of these keys, or else Remote, and
	// KeyPlace which of the peer's they are, from 1: 0 if they were replaced.
	Local, Remote PublicKey
	Key           string
	KeyPlace      int

	// Via is how the response came that has made the current session, as [Admitted] said; nil if the peer began the handshake, and after a
	// handover.
	Via any

	Index  uint32        // of the current session, which this end chose; 0 without one
	Since  time.Time     // when the current session was made; zero without one
	Shook  time.Time     // when the last one was made, though it may be over; zero: there was none
	RTT    time.Duration // of the handshake that made it
	Alive  bool          // more has come in it than what completed the handshake
	Heard  time.Time     // when anything authentic came last
	Spoke  time.Time     // the same without initiations, which do not prove that the peer hears us
	Trying bool          // a handshake is under way, or about to be

	// Unconfirmed is that the peer has not used our latest response. If it goes on with an
	// older session, then it does not hear us.
	Unconfirmed bool

	// Behind is how far the timestamp of the latest initiation lies before that of an
	// earlier one, for which it was refused at Stale. Either the peer's clock was put back,
	// or an old initiation was sent once more. Both are zero when a newer one was answered.
	Behind time.Duration
	Stale  time.Time

	Replied time.Time // when a question of [Peer.Ask] was answered last

	// Sent is how many packets the peer has sent in all sessions, as far as their counters say, and Got how
	// many of them have come.
	Sent, Got uint64

	// Twin is where another machine is that has the peer's key as well, by which it was
	// refused at TwinHeard while a session with the peer works. Both are zero without one.
	Twin      netip.AddrPort
	TwinHeard time.Time

	Invited tunnel.Invited // of the keys of the current session; 0 without one
	// Refused is when the peer last said that another router has used the invitation; zero: it has not, or there was a session since.
	Refused time.Time

	// Hints at two ends that have not the same preshared key. Unopened can be made
	// by who sees our initiations and knows our public key.
	Unused   int       // of our responses in a row, how many the peer has not used
	Unopened time.Time // when a response last came that could not be opened
}

// PublicKey returns who the peer is, by the first of its keys.
func (p *Peer) PublicKey() PublicKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ways[0].remote.public
}

// LocalPublicKey returns who this end is to the peer, by the first of its keys.
func (p *Peer) LocalPublicKey() PublicKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ways[0].me.public
}

// Status returns how the peer is at a time.
func (p *Peer) Status(now time.Time) Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Endpoint: p.endpoint, Heard: p.heard, Spoke: p.spoke, Trying: !p.timers.handshake.IsZero(),
		Unconfirmed: p.next != nil, Unused: p.unused, Unopened: p.unopened,
		Replied: p.replied, Sent: p.sent, Got: p.got,
		Behind: p.stale.by, Stale: p.stale.at,
		Twin: p.twin.at, TwinHeard: p.twin.heard, Shook: p.shook, Refused: p.refused,
	}
	w := p.ways[0]
	if p.current != nil {
		w = p.current.way
	}
	s.Local, s.Remote = w.me.public, w.remote.public
	s.Key, s.KeyPlace = p.placeLocked(w)
	if p.current != nil {
		s.Invited = w.invited
		s.Established, s.Since = p.current.sendable(now, 1), p.current.created
		s.Via, s.Index = p.current.via, p.current.local
		s.Initiator, s.RTT, s.Alive = p.current.initiator, p.current.rtt, p.current.alive
	}
	return s
}

// SetEndpoint says where the peer is to be found, until it is heard from elsewhere.
func (p *Peer) SetEndpoint(to netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoint, p.twin.spoke = to, time.Time{}
	p.expectLocked()
}

// Initiate asks for a handshake: [Peer.Tick] begins it, at once or as soon as the
// pace of one in 5 s allows.
func (p *Peer) Initiate(now time.Time) {
	p.mu.Lock()
	if !p.removed {
		p.wantHandshakeLocked(now)
	}
	p.unlock()
}

// unlock unlocks, and then calls notify if a deadline has moved closer.
func (p *Peer) unlock() {
	next := p.timers.next()
	sooner := !next.IsZero() && (p.reported.IsZero() || next.Before(p.reported))
	if sooner {
		p.reported = next
	}
	p.mu.Unlock()
	if sooner && p.notify != nil {
		p.notify()
	}
}

// unlockChanged unlocks and calls notify.
func (p *Peer) unlockChanged() {
	p.mu.Unlock()
	if p.notify != nil {
		p.notify()
	}
}

// Sealer reserves n packets in the current session. [ErrNoSession] also asks for a
// handshake.
func (p *Peer) Sealer(now time.Time, n int) (Sealer, error) {
	p.mu.Lock()
	return p.sealerUnlock(now, n)
}

// SealerOf is Sealer for what only that peer is to read whose session was made at a time, as [Status] says: if another one is current by
// now it returns ErrNoSession.
func (p *Peer) SealerOf(now, since time.Time, n int) (Sealer, error) {
	p.mu.Lock()
	if p.current == nil || !p.current.created.Equal(since) {
		p.mu.Unlock()
		return Sealer{}, ErrNoSession
	}
	return p.sealerUnlock(now, n)
}

// SealerBefore reserves a packet in the session before the current one, for a place where the peer was in it. It returns ErrNoSession
// unless that session was made at that time, as [Status] said.
func (p *Peer) SealerBefore(now, since time.Time, at netip.AddrPort) (Sealer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.previous
	if p.removed || !s.sendable(now, 1) || !s.created.Equal(since) {
		return Sealer{}, ErrNoSession
	}
	s.sent++
	return Sealer{To: at, key: s.sending, receiver: s.remote, next: s.sent - 1, end: s.sent}, nil
}

// sealerUnlock is Sealer with the lock held, which it lets go.
func (p *Peer) sealerUnlock(now time.Time, n int) (Sealer, error) {
	s := p.current
	if p.removed || !s.sendable(now, uint64(n)) {
		if !p.removed {
			p.wantHandshakeLocked(now)
		}
		p.unlock()
		return Sealer{}, ErrNoSession
	}
	r := Sealer{To: p.endpoint, key: s.sending, receiver: s.remote, next: s.sent, end: s.sent + uint64(n)}
	s.sent += uint64(n)
	p.sentLocked(now, true)
	p.refreshLocked(now, s)
	p.unlock()
	return r, nil
}

// initiateLocked appends an initiation, or gives up if that has been tried for too
// long (section 6.4).
func (p *Peer) initiateLocked(now time.Time, out [][]byte) [][]byte {
	p.dropOursLocked()
	if !p.endpoint.IsValid() {
		return out // it is for the peer to begin
	}
	if now.Sub(p.attempt) >= rekeyAttemptTime {
		if p.timers.erase.IsZero() {
			p.timers.erase = now.Add(eraseAfterTime)
		}
		return out
	}
	w := p.pickLocked(p.tries)
	if w == nil {
		return out // likewise
	}
	p.tries++
	if msg := p.beginLocked(now, w); msg != nil {
		out = append(out, msg)
	}
	return out
}

// beginLocked makes an initiation, in place of one that is under way. Its timestamp is later
// than the one before, also where our clock was put back meanwhile: the peer would refuse it.
func (p *Peer) beginLocked(now time.Time, w *way) []byte {
	p.dropOursLocked()
	p.dropQuestionLocked()
	hs, msg := p.initiationLocked(now, w)
	if hs == nil {
		return nil
	}
	p.ours, p.initiated = hs, now
	p.timers.handshake = now.Add(rekeyTimeout + jitter())
	p.sentLocked(now, false)
	return w.stamper.stamp(now, msg)
}

// initiationLocked returns an initiation without MACs.
func (p *Peer) initiationLocked(now time.Time, w *way) (*initiation, []byte) {
	ts := newTimestamp(p.m.date(now))
	if !ts.after(&p.stamped) {
		ts = p.stamped.next()
	}
	index := p.m.newIndex(slot{peer: p})
	hs, msg, err := newInitiation(w.me, &w.remote, index, ts)
	if err != nil { // impossible: AddPeer has refused such a key
		p.m.freeIndex(index)
		return nil, nil
	}
	hs.way, p.stamped = w, ts
	return hs, msg
}

// dropOursLocked ends the handshake that we began, if any.
func (p *Peer) dropOursLocked() {
	if p.ours != nil {
		p.m.freeIndex(p.ours.index)
		p.ours.erase()
		p.ours = nil
	}
}

// newSessionLocked makes a session of the keys of a handshake.
func (p *Peer) newSessionLocked(now time.Time, w *way, keys *sendingKeys, local, theirs uint32, initiator bool) *session {
	s := &session{peer: p, way: w, local: local, remote: theirs, initiator: initiator, created: now}
	if initiator {
		s.sending, s.receiving = aead.NewKey(&keys.initiator), aead.NewKey(&keys.responder)
	} else {
		s.sending, s.receiving = aead.NewKey(&keys.responder), aead.NewKey(&keys.initiator)
	}
	clear(keys.initiator[:])
	clear(keys.responder[:])
	p.m.setIndex(local, slot{peer: p, session: s})
	p.timers.erase = now.Add(eraseAfterTime)
	return s
}

// replaceLocked puts a session, or none, where another was, which is forgotten.
func (p *Peer) replaceLocked(at **session, s *session) {
	if *at != nil {
		p.m.freeIndex((*at).local)
	}
	*at = s
}

// eraseLocked forgets all keys.
func (p *Peer) eraseLocked() {
	p.dropQuestionLocked()
	p.replaceLocked(&p.previous, nil)
	p.replaceLocked(&p.current, nil)
	p.replaceLocked(&p.next, nil)
	if p.timers.handshake.IsZero() {
		p.dropOursLocked()
	}
}
