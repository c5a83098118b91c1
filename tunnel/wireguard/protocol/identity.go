package protocol

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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

// addressees tells which of this end's key pairs an initiation is for. Only its MAC
// says so: the message is otherwise the same for all.
type addressees struct {
	others map[*identity]bool // of the peers towards which this end has a key pair of its own
	list   []*identity        // the same; replaced, never changed
	known  known              // where those peers are
	// What may be searched for from the sources that are known, and from all.
	nearby, anywhere search
}

// addressee finds the key pair that a message of a handshake is for. A response says
// which handshake it answers. For an initiation the router's own is tried first, then
// those that were meant before from the same port, and from the same host: a peer that
// was started anew has another port. A search among the others must not take a core, or
// garbage could: past the limit it is left out, and the peer tries again after some
// seconds. A cookie cannot be asked for instead, as it is sealed for the key pair that is
// looked for.
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
	own, there, others := m.me, m.to.known.at[from], m.to.list
	near := m.to.known.hosts[sourceOf(from.Addr())].last
	m.mu.RUnlock()
	if own.keys.match(msg) {
		return own, nil
	}
	for _, me := range slices.Backward(there) {
		if me.keys.match(msg) {
			return me, nil
		}
	}
	if near != nil && near.keys.match(msg) {
		return near, nil
	}
	if len(others) == 0 {
		return nil, ErrOtherKey
	}
	if !m.maySearch(now, from.Addr(), len(others)) {
		return nil, errTooMany
	}
	for _, me := range others {
		if me.keys.match(msg) {
			return me, nil
		}
	}
	return nil, ErrOtherKey
}

// maySearch reports whether a search of n MACs may be made for a message from an address.
func (m *Machine) maySearch(now time.Time, from netip.Addr, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.to.known.hosts[sourceOf(from)].addresses > 0 && m.to.nearby.take(now, from, n) {
		return true
	}
	return m.to.anywhere.take(now, from, n)
}

// meant remembers whom an initiation was for that is authentic.
func (m *Machine) meant(me *identity, from netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expectLocked(me, from)
}

// expectLocked remembers that messages from an address may be for a key pair, if that is not the router's.
func (m *Machine) expectLocked(me *identity, from netip.AddrPort) {
	if m.to.others[me] {
		m.to.known.add(me, from)
	}
}

// expectLocked has the peer be recognized at some addresses, and where it is.
func (p *Peer) expectLocked(at ...netip.AddrPort) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.expectPeerLocked(p, at...)
}

func (m *Machine) expectPeerLocked(p *Peer, at ...netip.AddrPort) {
	for _, w := range slices.Backward(p.ways) { // the first of the keys is the likeliest
		for _, from := range at {
			m.expectLocked(w.me, from)
		}
		m.expectLocked(w.me, p.endpoint)
	}
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

// listOthersLocked makes the list of identities anew. Where those peers are that stay is not forgotten.
func (m *Machine) listOthersLocked() {
	m.to.others, m.to.list = make(map[*identity]bool), nil
	for _, w := range m.peers {
		if w.me != m.me && !m.to.others[w.me] {
			m.to.others[w.me] = true
			m.to.list = append(m.to.list, w.me)
		}
	}
	m.to.known.keep(m.to.others)
}
