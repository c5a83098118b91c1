package protocol

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// Config is what all peers of a router share.
type Config struct {
	PrivateKey PrivateKey
	// Handshakes is how many handshake messages a second are answered, all in all. If
	// more come, senders must prove with a cookie that they are where they say; 0 is
	// 1000.
	Handshakes int
	// Date is the date of a time that is given to the methods, for the timestamps of
	// initiations; nil: they are dates.
	Date func(time.Time) time.Time
}

// Machine is a router's end of all its WireGuard tunnels. Its methods may be called
// from any goroutine.
type Machine struct {
	date  func(time.Time) time.Time
	guard guard

	mu    sync.RWMutex // after that of a peer
	me    *identity
	peers map[pairing]*way
	to    addressees
	slots map[uint32]slot
	left  map[pairing]netip.AddrPort // where peers that were removed were heard last
}

// slot is what a receiver index of ours stands for.
type slot struct {
	peer    *Peer
	session *session // nil: the handshake that we began
}

// New returns a machine without peers.
func New(c Config) *Machine {
	m := &Machine{
		me:    newIdentity(c.PrivateKey),
		date:  c.Date,
		peers: make(map[pairing]*way),
		slots: make(map[uint32]slot),
		left:  make(map[pairing]netip.AddrPort),
		to:    addressees{known: newKnown()},
	}
	if m.date == nil {
		m.date = func(t time.Time) time.Time { return t }
	}
	m.guard.load.rate = defaultHandshakes
	if c.Handshakes > 0 {
		m.guard.load.rate = float64(c.Handshakes)
	}
	return m
}

// PublicKey returns who this router is, to peers that have no key pair of their own.
func (m *Machine) PublicKey() PublicKey { return m.own().public }

func (m *Machine) own() *identity {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.me
}

// AddPeer makes a peer known. A public key that is of this end, no key at all, or the
// same keys that another peer has, is an error. One public key may be that of several
// peers towards which this end has other keys. A peer that was known before, and for which
// there is no endpoint now, is where it was then: it has a session that is gone here, and
// with a handshake it learns that at once.
func (m *Machine) AddPeer(c PeerConfig) (*Peer, error) {
	p := &Peer{m: m, keys: c.keys(), keepalive: c.Keepalive, notify: c.Notify, endpoint: c.Endpoint}
	m.mu.Lock()
	defer m.mu.Unlock()
	ways, err := m.waysLocked(p, p.keys)
	if err != nil {
		return nil, err
	}
	for _, w := range ways {
		if !p.endpoint.IsValid() {
			p.endpoint = m.left[w.pairing()]
		}
		delete(m.left, w.pairing())
	}
	m.knowLocked(p, ways)
	return p, nil
}

// RemovePeer forgets a peer and its keys. Its methods do nothing afterwards.
func (m *Machine) RemovePeer(p *Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.removed {
		m.mu.Lock()
		if !p.heard.IsZero() {
			for _, w := range p.ways {
				m.left[w.pairing()] = p.endpoint
			}
		}
		m.forgetLocked(p)
		m.listOthersLocked()
		m.mu.Unlock()
	}
	p.removed = true
	p.timers = timers{}
	p.dropOursLocked()
	p.eraseLocked()
	for _, w := range p.ways {
		w.erase()
	}
	clear(p.keys)
}

// Received is what a datagram turned out to be.
type Received struct {
	Peer   *Peer  // who sent it; nil if that is not proven
	Packet []byte // an IP packet, in the datagram's own bytes; nil if it brought none
	Reply  []byte // to send to where the datagram came from; nil for silence
	Err    error  // why it was ignored, or its packet was; nothing needs to be done

	counter uint64
}

// Receive takes a datagram that came from an address. It decrypts in place. Where a
// handshake must not delay packets, Admit and Handshake do the two halves of it.
func (m *Machine) Receive(now time.Time, from netip.AddrPort, msg []byte) Received {
	switch messageType(msg) {
	case typeData:
		var one [1]Received
		return m.data(now, from, msg, len(msg), one[:0])[0]
	case typeCookie:
		return m.cookie(now, msg)
	case typeInitiation, typeResponse:
		a, instead := m.Admit(now, from, msg)
		if a == (Admitted{}) {
			return instead
		}
		return m.Handshake(now, from, msg, a)
	}
	return Received{Err: errMalformed}
}

// Admitted is for whom a message of a handshake is that is worth its work. The zero
// value is nobody.
type Admitted struct {
	Via any // how the message came, see [Status.Via]; comparable

	me *identity
}

// Admit decides whether an initiation or a response, see [IsHandshake], is worth its
// work, at the cost of some MACs. If not, it says what to do instead.
func (m *Machine) Admit(now time.Time, from netip.AddrPort, msg []byte) (Admitted, Received) {
	me, err := m.addressee(now, from, msg)
	if err != nil {
		return Admitted{}, Received{Err: err}
	}
	switch m.guard.check(now, from, msg) {
	case pass:
		return Admitted{me: me}, Received{}
	case demandCookie:
		return Admitted{}, Received{Reply: m.guard.reply(now, from, &me.keys, msg), Err: errTooMany}
	}
	return Admitted{}, Received{Err: errTooMany}
}

// Handshake takes an initiation or a response that was admitted, which takes two to four
// Diffie-Hellmans.
func (m *Machine) Handshake(now time.Time, from netip.AddrPort, msg []byte, a Admitted) Received {
	if messageType(msg) == typeInitiation {
		return m.initiation(now, from, a.me, msg)
	}
	return m.response(now, from, msg, a.Via)
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

func (m *Machine) way(me *identity, remote PublicKey) *way {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.peers[pairing{me.public, remote}]
}
