package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"
)

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	addrA = netip.MustParseAddrPort("192.0.2.1:1000")
	addrB = netip.MustParseAddrPort("[2001:db8::2]:2000")
)

// end is one of two routers that a test plays the network between.
type end struct {
	m        *Machine
	p        *Peer
	addr     netip.AddrPort
	ahead    time.Duration // of the network's clock
	notified int
	packets  [][]byte // that came out
	errs     []error
}

// net is a network with a clock that only moves when a test says so.
type network struct {
	t    *testing.T
	now  time.Time
	a, b *end
	// lose decides about each datagram on its way; nil loses none.
	lose func(from *end, msg []byte) bool
	log  [][]byte // every datagram that was sent
}

type option func(a, b *PeerConfig)

func newNetwork(t *testing.T, options ...option) *network {
	t.Helper()
	n := &network{t: t, now: start}
	keyA, keyB := NewPrivateKey(), NewPrivateKey()
	ca := PeerConfig{PublicKey: keyB.Public(), Endpoint: addrB}
	cb := PeerConfig{PublicKey: keyA.Public()}
	for _, o := range options {
		o(&ca, &cb)
	}
	n.a, n.b = newEnd(t, keyA, ca, addrA), newEnd(t, keyB, cb, addrB)
	return n
}

func newEnd(t *testing.T, key PrivateKey, c PeerConfig, addr netip.AddrPort) *end {
	t.Helper()
	e := &end{m: New(Config{PrivateKey: key}), addr: addr}
	c.Notify = func() { e.notified++ }
	p, err := e.m.AddPeer(c)
	if err != nil {
		t.Fatal(err)
	}
	e.p = p
	return e
}

// at is what an end's clock says.
func (n *network) at(e *end) time.Time { return n.now.Add(e.ahead) }

func (n *network) other(e *end) *end {
	if e == n.a {
		return n.b
	}
	return n.a
}

// send carries a datagram and whatever answers it.
func (n *network) send(from *end, msg []byte) {
	n.t.Helper()
	n.log = append(n.log, bytes.Clone(msg))
	if n.lose != nil && n.lose(from, msg) {
		return
	}
	n.deliver(n.other(from), from.addr, msg)
}

func (n *network) deliver(to *end, from netip.AddrPort, msg []byte) error {
	n.t.Helper()
	r := to.m.Receive(n.at(to), from, bytes.Clone(msg))
	if r.Packet != nil {
		to.packets = append(to.packets, bytes.Clone(r.Packet))
	}
	if r.Err != nil {
		to.errs = append(to.errs, r.Err)
	}
	if r.Reply != nil {
		n.send(to, r.Reply)
	}
	return r.Err
}

// settle does all that is due now.
func (n *network) settle() {
	n.t.Helper()
	for busy := true; busy; {
		busy = false
		for _, e := range []*end{n.a, n.b} {
			if d := e.p.NextDeadline(); d.IsZero() || d.After(n.at(e)) {
				continue
			}
			busy = true
			for _, msg := range e.p.Tick(n.at(e)) {
				n.send(e, msg)
			}
		}
	}
}

// pass lets time go by, doing what falls due on the way.
func (n *network) pass(d time.Duration) {
	n.t.Helper()
	until := n.now.Add(d)
	for {
		next := until
		for _, e := range []*end{n.a, n.b} {
			if at := e.p.NextDeadline(); !at.IsZero() && at.Add(-e.ahead).Before(next) {
				next = at.Add(-e.ahead)
			}
		}
		n.now = next
		if !next.Before(until) {
			return
		}
		n.settle()
	}
}

func (n *network) handshake(from *end) {
	n.t.Helper()
	from.p.Initiate(n.at(from))
	n.settle()
	for _, e := range []*end{n.a, n.b} {
		if s := e.p.Status(n.at(e)); !s.Established {
			n.t.Fatalf("no session: %+v, errors %v", s, e.errs)
		}
	}
}

// packet is an IPv4 packet of n bytes.
func packet(n int, mark byte) []byte {
	p := make([]byte, n)
	p[0], p[n-1] = 0x45, mark
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	return p
}

// sealOne seals a message at once.
func sealOne(s *Sealer, buf []byte, n, mtu int) []byte {
	msg := s.Add(buf, n, mtu)
	s.Seal()
	return msg
}

// seal makes the data message of a packet, without sending it.
func (n *network) seal(from *end, p []byte) ([]byte, error) {
	s, err := from.p.Sealer(n.now, 1)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, Overhead+PaddedLen(len(p), 1420))
	copy(buf[HeaderLen:], p)
	return sealOne(&s, buf, len(p), 1420), nil
}

func (n *network) mustSeal(from *end, p []byte) []byte {
	n.t.Helper()
	msg, err := n.seal(from, p)
	if err != nil {
		n.t.Fatal(err)
	}
	return msg
}

// exchange sends a packet each way and looks that it arrives.
func (n *network) exchange(mark byte) {
	n.t.Helper()
	for _, from := range []*end{n.a, n.b} {
		to := n.other(from)
		to.packets = nil
		for _, size := range []int{20, 100, 1419, 1420} {
			p := packet(size, mark)
			n.send(from, n.mustSeal(from, p))
			if len(to.packets) == 0 || !bytes.Equal(to.packets[len(to.packets)-1], p) {
				n.t.Fatalf("a packet of %d bytes did not arrive: %v", size, to.errs)
			}
		}
	}
}

// types returns how many messages of a type were sent.
func (n *network) types(typ uint32) (count int) {
	for _, msg := range n.log {
		if binary.LittleEndian.Uint32(msg) == typ {
			count++
		}
	}
	return count
}

func TestHandshakeAndData(t *testing.T) {
	psk := PresharedKey{1, 2, 3}
	for name, o := range map[string]option{
		"without a preshared key": func(_, _ *PeerConfig) {},
		"with one":                func(a, b *PeerConfig) { a.PresharedKey, b.PresharedKey = psk, psk },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, o)
			n.handshake(n.a)
			sizes := []int{initiationLen, responseLen, Overhead}
			for i, msg := range n.log {
				if len(msg) != sizes[i] {
					t.Errorf("message %d has %d bytes, want %d", i, len(msg), sizes[i])
				}
			}
			for _, e := range []*end{n.a, n.b} {
				if e.p.Status(n.now).Alive {
					t.Error("the handshake alone counts as a sign of life")
				}
			}
			n.exchange(1)
			for _, e := range []*end{n.a, n.b} {
				if !e.p.Status(n.now).Alive {
					t.Error("packets are no sign of life")
				}
			}
			if got := n.b.p.Status(n.now).Endpoint; got != addrA {
				t.Errorf("the responder looks for the initiator at %v", got)
			}
			if n.a.notified == 0 || n.b.notified == 0 {
				t.Error("an end was not told")
			}
			n.pass(6 * time.Second)
			n.handshake(n.b)
			n.exchange(2)
		})
	}
}

// Each end measures the round trip with the handshake.
func TestRoundTrip(t *testing.T) {
	n := newNetwork(t)
	n.a.p.Initiate(n.now)
	initiation := n.a.p.Tick(n.now)[0]
	step := func() { n.now = n.now.Add(10 * time.Millisecond) }
	step()
	response := n.b.m.Receive(n.now, addrA, initiation).Reply
	step()
	n.deliver(n.a, addrB, response)
	if got := n.a.p.Status(n.now).RTT; got != 20*time.Millisecond {
		t.Errorf("the initiator measured %v", got)
	}
	confirmation := n.a.p.Tick(n.now)[0]
	step()
	n.deliver(n.b, addrA, confirmation)
	n.pass(time.Minute)
	n.exchange(1)
	if got := n.b.p.Status(n.now).RTT; got != 20*time.Millisecond {
		t.Errorf("the responder measured %v", got)
	}
}

func TestResponderWaitsForTheInitiator(t *testing.T) {
	n := newNetwork(t)
	n.lose = func(_ *end, msg []byte) bool { return messageType(msg) == typeData }
	n.a.p.Initiate(n.now)
	n.settle()
	if !n.a.p.Status(n.now).Established || n.b.p.Status(n.now).Established {
		t.Fatal("want a session at the initiator only")
	}
	if _, err := n.seal(n.b, packet(20, 0)); !errors.Is(err, ErrNoSession) {
		t.Fatalf("the responder sends before it was confirmed: %v", err)
	}
	n.lose = nil
	n.send(n.a, n.mustSeal(n.a, packet(20, 0)))
	n.exchange(0)
}

func TestBothInitiate(t *testing.T) {
	n := newNetwork(t)
	n.b.p.SetEndpoint(addrA)
	n.a.p.Initiate(n.now)
	n.b.p.Initiate(n.now)
	fromA, fromB := n.a.p.Tick(n.now), n.b.p.Tick(n.now)
	n.send(n.a, fromA[0])
	n.send(n.b, fromB[0])
	n.settle()
	n.exchange(1)
	n.pass(time.Second)
	n.exchange(2)
	if len(n.a.errs)+len(n.b.errs) > 0 {
		t.Errorf("errors %v, %v", n.a.errs, n.b.errs)
	}
}

func TestWrongKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		o    option
		want error
	}{
		"preshared key at one end": {func(a, _ *PeerConfig) { a.PresharedKey = PresharedKey{1} }, errForged},
		"different preshared keys": {func(a, b *PeerConfig) { a.PresharedKey[0], b.PresharedKey[0] = 1, 2 }, errForged},
		"unknown initiator":        {func(_, b *PeerConfig) { b.PublicKey = NewPrivateKey().Public() }, nil},
		"wrong responder":          {func(a, _ *PeerConfig) { a.PublicKey = NewPrivateKey().Public() }, ErrOtherKey},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, tc.o)
			n.a.p.Initiate(n.now)
			n.settle()
			if n.a.p.Status(n.now).Established || n.b.p.Status(n.now).Established {
				t.Fatal("they have a session")
			}
			errs := append(n.a.errs, n.b.errs...)
			if stranger := new(StrangerError); len(errs) != 1 || !errors.Is(errs[0], tc.want) &&
				(!errors.As(errs[0], &stranger) || stranger.PublicKey != n.a.m.PublicKey()) {
				t.Fatalf("errors %v, want %v", errs, tc.want)
			}
			if !errors.Is(tc.want, errForged) && len(n.log) != 1 {
				t.Fatalf("%d messages: a stranger was answered", len(n.log))
			}
		})
	}
}

// What both ends of a tunnel can tell where only the preshared key is wrong, and that
// they forget it when it is right.
func TestHints(t *testing.T) {
	n := newNetwork(t, func(a, _ *PeerConfig) { a.PresharedKey = PresharedKey{1} })
	for tries := range 4 {
		n.a.p.Initiate(n.now)
		n.settle()
		a, b := n.a.p.Status(n.now), n.b.p.Status(n.now)
		if a.Unopened != n.now || b.Unused != tries || a.Unused != 0 || !b.Unopened.IsZero() {
			t.Fatalf("after %d attempts: %+v, %+v", tries+1, a, b)
		}
		n.now = n.now.Add(10 * time.Second)
	}
	n.a.p.ways[0].remote.preshared = PresharedKey{}
	n.handshake(n.a)
	if b := n.b.p.Status(n.now); b.Unused != 0 {
		t.Errorf("with a session: %+v", b)
	}
}

func TestAddPeerRefuses(t *testing.T) {
	key := NewPrivateKey()
	m := New(Config{PrivateKey: key})
	other := NewPrivateKey().Public()
	p, err := m.AddPeer(PeerConfig{PublicKey: other})
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]PublicKey{"own": key.Public(), "taken": other, "low order": {}, "low order 1": {1}} {
		if _, err := m.AddPeer(PeerConfig{PublicKey: k}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	m.RemovePeer(p)
	if _, err := m.AddPeer(PeerConfig{PublicKey: other}); err != nil {
		t.Errorf("after it was removed: %v", err)
	}
	p.Initiate(start)
	if p.Tick(start) != nil || !p.NextDeadline().IsZero() {
		t.Error("a peer that was removed is at work")
	}
	if _, err := p.Sealer(start, 1); !errors.Is(err, ErrNoSession) {
		t.Errorf("a peer that was removed seals: %v", err)
	}
}

// A peer that is added again is where it was heard last, unless its endpoint is known; one
// that was never heard is nowhere.
func TestPeerThatWasKnown(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	again := func(e *end, c PeerConfig) netip.AddrPort {
		t.Helper()
		e.m.RemovePeer(e.p)
		c.PublicKey = e.p.PublicKey()
		var err error
		if e.p, err = e.m.AddPeer(c); err != nil {
			t.Fatal(err)
		}
		return e.p.Status(n.now).Endpoint
	}
	if at := again(n.b, PeerConfig{}); at != addrA {
		t.Errorf("at %v, it was at %v", at, addrA)
	}
	if at := again(n.b, PeerConfig{}); at.IsValid() {
		t.Errorf("at %v, it was not heard", at)
	}
	if at := again(n.a, PeerConfig{Endpoint: addrA}); at != addrA {
		t.Errorf("at %v, it should be at %v", at, addrA)
	}
	if len(n.a.m.left)+len(n.b.m.left) > 0 {
		t.Error("peers that are known are also noted as gone")
	}
}

func TestRemovePeerForgetsItsIndices(t *testing.T) {
	n := newNetwork(t)
	for range 5 {
		n.handshake(n.a)
		n.pass(6 * time.Second)
		n.handshake(n.b)
		n.pass(6 * time.Second)
	}
	msg := n.mustSeal(n.a, packet(20, 0))
	n.a.p.Initiate(n.now)
	n.a.p.Tick(n.now)
	for _, e := range []*end{n.a, n.b} {
		if len(e.m.slots) > 4 { // three sessions and a handshake
			t.Errorf("%d indices in use", len(e.m.slots))
		}
		e.m.RemovePeer(e.p)
		if len(e.m.slots) != 0 {
			t.Errorf("%d indices left", len(e.m.slots))
		}
	}
	if err := n.deliver(n.b, addrA, msg); !errors.Is(err, errIndex) {
		t.Errorf("a packet for a peer that is gone: %v", err)
	}
}
