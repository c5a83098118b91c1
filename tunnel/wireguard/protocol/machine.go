package protocol

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Config is what all peers of a router share.
type Config struct {
	PrivateKey PrivateKey
	// Handshakes is how many handshake messages a second are answered before
	// senders must prove with a cookie that they are where they say; 0 is 1000.
	Handshakes int
}

// Machine is a router's end of all its WireGuard tunnels. Its methods may be called
// from any goroutine.
type Machine struct {
	me    identity
	guard guard

	mu    sync.RWMutex // after that of a peer
	peers map[PublicKey]*Peer
	slots map[uint32]slot
}

// slot is what a receiver index of ours stands for.
type slot struct {
	peer    *Peer
	session *session // nil: the handshake that we began
}

// New returns a machine without peers.
func New(c Config) *Machine {
	m := &Machine{
		me:    identity{private: c.PrivateKey, public: c.PrivateKey.Public()},
		peers: make(map[PublicKey]*Peer),
		slots: make(map[uint32]slot),
	}
	m.guard.keys = newMACKeys(&m.me.public)
	m.guard.load.rate = defaultHandshakes
	if c.Handshakes > 0 {
		m.guard.load.rate = float64(c.Handshakes)
	}
	return m
}

// PublicKey returns who this router is.
func (m *Machine) PublicKey() PublicKey { return m.me.public }

// AddPeer makes a peer known. A public key that is this router's own, of a peer
// that is there already, or no key at all, is an error.
func (m *Machine) AddPeer(c PeerConfig) (*Peer, error) {
	if c.PublicKey == m.me.public {
		return nil, errors.New("the peer's public key is this router's own")
	}
	p := &Peer{m: m, keepalive: c.Keepalive, notify: c.Notify, endpoint: c.Endpoint}
	p.remote.public, p.remote.preshared = c.PublicKey, c.PresharedKey
	var err error
	if p.remote.staticStatic, err = m.me.private.dh(&p.remote.public); err != nil {
		return nil, fmt.Errorf("public key %v: %w", c.PublicKey, err)
	}
	p.stamper.keys = newMACKeys(&p.remote.public)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.peers[c.PublicKey] != nil {
		return nil, fmt.Errorf("public key %v: another peer has it", c.PublicKey)
	}
	m.peers[c.PublicKey] = p
	return p, nil
}

// RemovePeer forgets a peer and its keys. Its methods do nothing afterwards.
func (m *Machine) RemovePeer(p *Peer) {
	m.mu.Lock()
	if m.peers[p.remote.public] == p {
		delete(m.peers, p.remote.public)
	}
	m.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removed = true
	p.timers = timers{}
	p.dropOursLocked()
	p.eraseLocked()
	clear(p.remote.preshared[:])
	clear(p.remote.staticStatic[:])
}

// Received is what a datagram turned out to be.
type Received struct {
	Peer   *Peer  // who sent it; nil if that is not proven
	Packet []byte // an IP packet, in the datagram's own bytes; nil if it brought none
	Reply  []byte // to send to where the datagram came from; nil for silence
	Err    error  // why it was ignored, or its packet was; nothing needs to be done
}

// Receive takes a datagram that came from an address. It decrypts in place.
func (m *Machine) Receive(now time.Time, from netip.AddrPort, msg []byte) Received {
	switch messageType(msg) {
	case typeData:
		return m.data(now, from, msg)
	case typeInitiation:
		return m.guarded(now, from, msg, m.initiation)
	case typeResponse:
		return m.guarded(now, from, msg, m.response)
	case typeCookie:
		return m.cookie(now, msg)
	}
	return Received{Err: errMalformed}
}

// guarded calls f if the handshake message is worth it.
func (m *Machine) guarded(now time.Time, from netip.AddrPort, msg []byte, f func(time.Time, netip.AddrPort, []byte) Received) Received {
	switch m.guard.check(now, from, msg) {
	case pass:
		return f(now, from, msg)
	case demandCookie:
		return Received{Reply: m.guard.reply(now, from, msg), Err: errTooMany}
	}
	return Received{Err: errMAC}
}

// newIndex finds a free receiver index. Random ones say nothing of how many there
// are.
func (m *Machine) newIndex(s slot) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		var b [4]byte
		rand.Read(b[:])
		index := binary.LittleEndian.Uint32(b[:])
		if _, taken := m.slots[index]; !taken {
			m.slots[index] = s
			return index
		}
	}
}

func (m *Machine) setIndex(index uint32, s slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slots[index] = s
}

func (m *Machine) freeIndex(index uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.slots, index)
}

func (m *Machine) slot(index uint32) slot {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.slots[index]
}

func (m *Machine) peer(k PublicKey) *Peer {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.peers[k]
}
