package protocol

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// identity is a static key pair of this end, and what messages to it are
// authenticated with. It never changes.
type identity struct {
	private PrivateKey
	public  PublicKey
	keys    macKeys
}

func newIdentity(k PrivateKey) *identity {
	me := &identity{private: k, public: k.Public()}
	me.keys = newMACKeys(&me.public)
	return me
}

// Limits on looking for whom an initiation is for, which takes a MAC for each key
// pair of this end.
const (
	searchRate  = 300e3 // MACs a second, each of which takes some 0.5 to 1 µs
	searchBurst = 200e3 // at once: packets wait meanwhile
)

// addressees tells which of this end's key pairs an initiation is for. Only its MAC
// says so: the message is otherwise the same for all.
type addressees struct {
	others []*identity                  // of the peers that have a key pair of their own; replaced, never changed
	at     map[netip.AddrPort]*identity // that were meant from there; with port 0, last from that host
	search bucket
}

// host stands for all ports of an address.
func host(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), 0) }

// addressee finds the key pair that a message of a handshake is for. A response says
// which handshake it answers. For an initiation the router's own is tried first, then
// those that were meant before from the same port, and from the same host: a peer that
// was started anew has another port. A search among the others must not take a core, or
// garbage could: past the limit it is left out, and the peer tries again after some
// seconds.
func (m *Machine) addressee(now time.Time, from netip.AddrPort, msg []byte) (*identity, error) {
	if messageType(msg) == typeResponse {
		at := m.slot(parseResponse(msg).receiver)
		switch {
		case at.peer == nil || at.session != nil:
			return nil, errIndex
		}
		me := at.peer.trying(parseResponse(msg).receiver)
		switch {
		case me == nil:
			return nil, errIndex
		case !me.keys.match(msg):
			return nil, ErrOtherKey
		}
		return me, nil
	}
	m.mu.RLock()
	own, there, nearby, others := m.me, m.to.at[from], m.to.at[host(from)], m.to.others
	m.mu.RUnlock()
	if own.keys.match(msg) {
		return own, nil
	}
	if there != nil && there.keys.match(msg) {
		return there, nil
	}
	if nearby != nil && nearby != there && nearby.keys.match(msg) {
		return nearby, nil
	}
	if len(others) == 0 {
		return nil, ErrOtherKey
	}
	m.mu.Lock()
	allowed := m.to.search.takeN(now, float64(len(others)), searchRate, searchBurst)
	m.mu.Unlock()
	if !allowed {
		return nil, errTooMany
	}
	for _, me := range others {
		if me.keys.match(msg) {
			return me, nil
		}
	}
	return nil, ErrOtherKey
}

// meant remembers whom an initiation was for that is authentic.
func (m *Machine) meant(me *identity, from netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if me == m.me {
		return
	}
	if len(m.to.at) > 4*len(m.to.others) {
		clear(m.to.at) // peers that moved
	}
	m.to.at[from], m.to.at[host(from)] = me, me
}

// pairing is the two static keys of a tunnel.
type pairing struct{ local, remote PublicKey }

// identityLocked returns the key pair for a peer that is about to be known by some keys. An
// error says that another has these keys already, or that both ends of a tunnel would be
// here: then our own messages, reflected, would be a peer's.
func (m *Machine) identityLocked(p *Peer, c *Keys) (*identity, error) {
	me := m.me
	if c.PrivateKey != (PrivateKey{}) && c.PrivateKey != m.me.private {
		me = newIdentity(c.PrivateKey)
	}
	if me.private == (PrivateKey{}) {
		return nil, errors.New("neither the peer nor the router has a private key")
	}
	if c.PeerPublicKey == me.public || c.PeerPublicKey == m.me.public {
		return nil, errors.New("the peer's public key is this router's own")
	}
	for at, w := range m.peers {
		if at.local == me.public && me != m.me {
			me = w.me
		}
		if w.peer == p { // what it was known by until now
			continue
		}
		switch {
		case at == pairing{me.public, c.PeerPublicKey}:
			return nil, fmt.Errorf("public key %v: another peer has it", c.PeerPublicKey)
		case at.local == c.PeerPublicKey, at.remote == me.public:
			return nil, fmt.Errorf("public key %v: both ends of a tunnel are here", c.PeerPublicKey)
		}
	}
	return me, nil
}

// listOthersLocked makes the list of identities anew.
func (m *Machine) listOthersLocked() {
	seen := map[*identity]bool{m.me: true}
	m.to.others = nil
	for _, w := range m.peers {
		if !seen[w.me] {
			seen[w.me] = true
			m.to.others = append(m.to.others, w.me)
		}
	}
	m.to.at = make(map[netip.AddrPort]*identity)
}
