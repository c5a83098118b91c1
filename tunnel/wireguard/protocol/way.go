package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"warren/tunnel"
)

// Keys are what the two ends of a tunnel know each other by. A peer may have several of
// them: the old ones and the new ones while keys are changed.
type Keys struct {
	// Name says where the keys come from, and may be empty. A session stays when the keys
	// of a name are replaced.
	Name          string
	PrivateKey    PrivateKey // of this end towards the peer; all zeros: the machine's
	PeerPublicKey PublicKey
	PresharedKey  PresharedKey // all zeros: none

	// Invited is set of the last of a peer's keys alone, and then Refusal is what both ends have in place of PresharedKey for
	// saying that the invitation was used (invited.go).
	Invited tunnel.Invited
	Refusal PresharedKey
	// Secret is what the keys were derived from, for who derives them; this package does not look at it.
	Secret [KeyLen]byte
}

func (c *PeerConfig) keys() []Keys {
	if len(c.Keys) > 0 {
		return slices.Clone(c.Keys)
	}
	return []Keys{{PrivateKey: c.PrivateKey, PeerPublicKey: c.PublicKey, PresharedKey: c.PresharedKey}}
}

// way is Keys made ready. What changes in it belongs to the peer's mutex.
type way struct {
	peer    *Peer
	name    string
	me      *identity
	remote  remote
	stamper stamper
	latest  timestamp // of the initiations answered

	answered  time.Time // when an initiation last was
	invited   tunnel.Invited
	refusal   PresharedKey
	refusedAt time.Time // when an initiation last was
}

func (w *way) pairing() pairing { return pairing{w.me.public, w.remote.public} }

// isSamePeer reports whether two ways are to know the peer by the same keys, whatever this
// end's own is.
func (w *way) isSamePeer(o *way) bool {
	return w.remote.public == o.remote.public && w.remote.preshared == o.remote.preshared
}

func (w *way) erase() {
	clear(w.remote.preshared[:])
	clear(w.remote.staticStatic[:])
	clear(w.refusal[:])
}

// precedes decides between two sessions of which this end began the first, and the peer the
// other. The peer comes to the same.
func (w *way) precedes(theirs *way) bool {
	if w.pairing() == theirs.pairing() {
		return bytes.Compare(w.me.public[:], w.remote.public[:]) > 0
	}
	return bytes.Compare(w.sorted(), theirs.sorted()) > 0
}

// sorted is the two public keys, the same at both ends.
func (w *way) sorted() []byte {
	a, b := w.me.public[:], w.remote.public[:]
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	return slices.Concat(a, b)
}

// waysLocked makes the keys of a peer ready, of which those that it has already stay. The
// peer's lock is held too, if it is known already.
func (m *Machine) waysLocked(p *Peer, keys []Keys) ([]*way, error) {
	if len(keys) == 0 || len(keys) == 1 && keys[0].Invited == tunnel.Used {
		return nil, errors.New("no keys of the peer")
	}
	var ways []*way
	for i := range keys {
		k := &keys[i]
		if k.Invited != 0 && i+1 < len(keys) {
			return nil, errors.New("the keys of an invitation are not the last")
		}
		me, err := m.identityLocked(p, k)
		if err != nil {
			return nil, err
		}
		w := &way{peer: p, me: me}
		if slices.ContainsFunc(ways, func(o *way) bool { return o.pairing() == pairing{me.public, k.PeerPublicKey} }) {
			return nil, fmt.Errorf("public key %v: it is there twice", k.PeerPublicKey)
		}
		w.remote.public, w.remote.preshared = k.PeerPublicKey, k.PresharedKey
		w.stamper.keys = newMACKeys(&w.remote.public)
		if w.remote.staticStatic, err = me.private.dh(&w.remote.public); err != nil {
			return nil, fmt.Errorf("public key %v: %w", k.PeerPublicKey, err)
		}
		for _, old := range p.ways {
			if old.remote.public != w.remote.public {
				continue
			}
			if old.me == w.me && old.remote.preshared == w.remote.preshared {
				w = old
				break
			}
			w.latest, w.stamper, w.answered = old.latest, old.stamper, old.answered // they are the peer's
		}
		ways = append(ways, w)
	}
	for i, w := range ways {
		w.name, w.invited, w.refusal = keys[i].Name, keys[i].Invited, keys[i].Refusal
	}
	return ways, nil
}

// knowLocked makes a peer known by some ways, and by no others.
func (m *Machine) knowLocked(p *Peer, ways []*way) {
	m.forgetLocked(p)
	p.ways = ways
	for _, w := range ways {
		m.peers[w.pairing()] = w
	}
	m.listOthersLocked()
	m.expectPeerLocked(p, p.places...)
}

// forgetLocked makes a peer unknown.
func (m *Machine) forgetLocked(p *Peer) {
	for _, w := range p.ways {
		if m.peers[w.pairing()] == w {
			delete(m.peers, w.pairing())
		}
	}
}

// SetKeys says what the peer is known by from now on, see [PeerConfig]. A session stays if
// the peer still has the public and the preshared key that it was made with, or keys of the
// same name; if those were not the first, a handshake is asked for. Otherwise the session is over, and ended is
// true. An error leaves all as it was.
func (p *Peer) SetKeys(now time.Time, keys []Keys) (ended bool, err error) {
	p.mu.Lock()
	if p.removed {
		p.mu.Unlock()
		return false, errRemoved
	}
	ended, err = p.setKeysLocked(now, slices.Clone(keys))
	p.unlockChanged()
	return ended, err
}

func (p *Peer) setKeysLocked(now time.Time, keys []Keys) (ended bool, err error) {
	p.m.mu.Lock()
	ways, err := p.m.waysLocked(p, keys)
	if err == nil {
		p.m.knowLocked(p, ways)
	}
	p.m.mu.Unlock()
	if err != nil {
		return false, err
	}
	p.keys, p.tries = keys, 0
	p.dropOursLocked()
	p.dropQuestionLocked() // its answer would make a session by keys that may be gone
	for _, at := range []**session{&p.previous, &p.current, &p.next} {
		if s := *at; s != nil && !p.hasLocked(s.way) {
			ended = ended || at == &p.current
			p.replaceLocked(at, nil)
		}
	}
	if p.current == nil || p.current.way != ways[0] {
		p.timers.handshake = time.Time{}
		p.wantHandshakeLocked(now)
	}
	return ended, nil
}

// hasLocked reports whether a session may go on that was made with some keys.
func (p *Peer) hasLocked(of *way) bool {
	return slices.ContainsFunc(p.ways, func(w *way) bool {
		return w.invited != tunnel.Used && (w.isSamePeer(of) || w.name != "" && w.name == of.name)
	})
}

// placeLocked returns the name of the peer's keys in a session, and which of those that it
// has now they are, from 1: 0 if none.
func (p *Peer) placeLocked(of *way) (key string, place int) {
	key = of.name
	if key == "" {
		key = of.remote.public.String()
	}
	return key, 1 + slices.IndexFunc(p.ways, func(w *way) bool { return w.isSamePeer(of) })
}

// Named returns who the two ends are by the keys of a name; ok is false if the peer has none of that name.
func (p *Peer) Named(name string) (local, remote PublicKey, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.ways, func(w *way) bool { return name != "" && w.name == name })
	if i < 0 {
		return local, remote, false
	}
	return p.ways[i].me.public, p.ways[i].remote.public, true
}

// trying returns the key pair of this end in the handshake that it began with an index, or nil
// if that is over.
func (p *Peer) trying(index uint32) *identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	hs, _ := p.begunLocked(index)
	if hs == nil {
		return nil
	}
	return hs.way.me
}

// SetPrivateKey changes the router's own key. Sessions stay, and where it is the own key
// towards the peer a handshake with the new one is asked for.
func (m *Machine) SetPrivateKey(now time.Time, k PrivateKey) error {
	me := newIdentity(k)
	m.mu.Lock()
	for at := range m.peers {
		if at.remote == me.public {
			m.mu.Unlock()
			return fmt.Errorf("this router's new key is that of a peer: %v", me.public)
		}
	}
	affected := make(map[*Peer]bool)
	for _, w := range m.peers {
		affected[w.peer] = affected[w.peer] || w.me == m.me
	}
	m.me = me
	m.mu.Unlock()
	var errs []error
	for p, own := range affected {
		if !own {
			continue
		}
		p.mu.Lock()
		if !p.removed {
			if _, err := p.setKeysLocked(now, p.keys); err != nil {
				errs = append(errs, err)
			}
		}
		p.unlockChanged()
	}
	return errors.Join(errs...)
}
