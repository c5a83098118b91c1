package protocol

import (
	"net/netip"
	"time"

	"warren/tunnel/wireguard/aead"
)

// Handover is a peer with its sessions, as one program leaves it to the next one in the same process. It has
// keys in it, and must never be written where others could read it.
type Handover struct {
	Endpoint netip.AddrPort  `json:"endpoint"`
	Heard    time.Duration   `json:"heard"` // ago; as Spoke
	Spoke    time.Duration   `json:"spoke"`
	Stamped  []byte          `json:"stamped"` // the latest timestamp that was sent
	Ways     []HandedWay     `json:"ways"`
	Sessions []HandedSession `json:"sessions"`
}

// HandedWay is what is remembered of keys of the two ends.
type HandedWay struct {
	Local     PublicKey    `json:"local"`
	Remote    PublicKey    `json:"remote"`
	Preshared PresharedKey `json:"preshared"`
	Latest    []byte       `json:"latest"` // the latest timestamp that was answered
}

// The places of sessions; see Peer.
const (
	placePrevious = iota
	placeCurrent
	placeNext
	places
)

// HandedSession is a session.
type HandedSession struct {
	Place       int               `json:"place"`
	Way         int               `json:"way"` // which of Handover.Ways
	LocalIndex  uint32            `json:"local_index"`
	RemoteIndex uint32            `json:"remote_index"`
	Sending     [aead.KeyLen]byte `json:"sending"`
	Receiving   [aead.KeyLen]byte `json:"receiving"`
	Initiator   bool              `json:"initiator"`
	Age         time.Duration     `json:"age"`
	RTT         time.Duration     `json:"rtt"`
	Sent        uint64            `json:"sent"`
	Top         uint64            `json:"top"` // of the window, with Seen
	Seen        []uint64          `json:"seen"`
	Alive       bool              `json:"alive"`
	AskedToRest bool              `json:"asked_to_rest"`
	Crossed     bool              `json:"crossed"`
}

// HandOver returns the peer's sessions, in which nothing is sealed or opened from now on, so that no counter
// is used twice and no packet is taken twice: until [Peer.Carry] the peer does nothing.
func (p *Peer) HandOver(now time.Time) *Handover {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.removed {
		return nil
	}
	p.removed, p.handed = true, true
	h := &Handover{Endpoint: p.endpoint, Heard: now.Sub(p.heard), Spoke: now.Sub(p.spoke), Stamped: p.stamped[:]}
	for i, s := range [places]*session{p.previous, p.current, p.next} {
		if s == nil {
			continue
		}
		h.Sessions = append(h.Sessions, HandedSession{
			Place: i, Way: len(h.Ways), LocalIndex: s.local, RemoteIndex: s.remote,
			Sending: s.sending.Bytes(), Receiving: s.receiving.Bytes(),
			Initiator: s.initiator, Age: now.Sub(s.created), RTT: s.rtt, Sent: s.sent,
			Top: s.seen.top, Seen: append([]uint64(nil), s.seen.bits[:]...),
			Alive: s.alive, AskedToRest: s.askedToRest, Crossed: s.crossed,
		})
		h.Ways = append(h.Ways, s.way.handed())
	}
	for _, w := range p.ways {
		h.Ways = append(h.Ways, w.handed())
	}
	return h
}

func (w *way) handed() HandedWay {
	return HandedWay{Local: w.me.public, Remote: w.remote.public, Preshared: w.remote.preshared, Latest: append([]byte(nil), w.latest[:]...)}
}

// Carry is called when there is no next program: the peer goes on.
func (p *Peer) Carry() {
	p.mu.Lock()
	if p.handed {
		p.removed, p.handed = false, false
	}
	p.unlockChanged()
}

// TakeUp gives a peer that is new what was handed over, a time ago. A session stays if its keys are still the
// peer's. It reports whether packets can be sealed.
func (p *Peer) TakeUp(now time.Time, h *Handover, ago time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoint = h.Endpoint
	p.expectLocked()
	p.heard, p.spoke = now.Add(-h.Heard-ago), now.Add(-h.Spoke-ago)
	copy(p.stamped[:], h.Stamped)
	for i := range h.Ways {
		if w := p.sameWayLocked(&h.Ways[i]); w != nil {
			var latest timestamp
			copy(latest[:], h.Ways[i].Latest)
			if latest.after(&w.latest) {
				w.latest = latest
			}
		}
	}
	for i := range h.Sessions {
		p.takeUpLocked(now, h, &h.Sessions[i], ago)
	}
	if p.keepalive > 0 {
		p.timers.persistent = now // the peer hears at once that this end is there
	}
	return p.current.sendable(now, 1)
}

func (p *Peer) takeUpLocked(now time.Time, h *Handover, of *HandedSession, ago time.Duration) {
	if of.Way < 0 || of.Way >= len(h.Ways) || of.Place < 0 || of.Place >= places || len(of.Seen) != windowWords {
		return
	}
	w := p.sameWayLocked(&h.Ways[of.Way])
	if w == nil || p.m.slot(of.LocalIndex) != (slot{}) {
		return
	}
	s := &session{
		peer: p, way: w, local: of.LocalIndex, remote: of.RemoteIndex,
		sending: aead.NewKey(&of.Sending), receiving: aead.NewKey(&of.Receiving),
		initiator: of.Initiator, created: now.Add(-of.Age - ago), rtt: of.RTT, sent: of.Sent,
		alive: of.Alive, askedToRest: of.AskedToRest, crossed: of.Crossed,
	}
	s.seen.top = of.Top
	copy(s.seen.bits[:], of.Seen)
	clear(of.Sending[:])
	clear(of.Receiving[:])
	p.m.setIndex(s.local, slot{peer: p, session: s})
	*[places]**session{&p.previous, &p.current, &p.next}[of.Place] = s
	if s == p.current {
		p.shook = s.created
	}
	p.timers.erase = later(p.timers.erase, s.created.Add(eraseAfterTime))
}

// sameWayLocked returns the keys that the peer has of those that it had; nil if it has not.
func (p *Peer) sameWayLocked(was *HandedWay) *way {
	for _, w := range p.ways {
		if w.me.public == was.Local && w.remote.public == was.Remote && w.remote.preshared == was.Preshared {
			return w
		}
	}
	return nil
}
