package wireguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/ping"
	"warren/tunnel/internal/remote"
	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

// A stage is a link towards a peer that the test plays, with a clock that moves only
// where the test lets it. It does what Link.loop does, without a goroutine or a socket.
type stage struct {
	t       *testing.T
	now     time.Time
	start   time.Time
	l       *Link
	own     protocol.PrivateKey
	key     protocol.PrivateKey // of the peer
	far     protocol.PeerConfig
	machine *protocol.Machine // the peer's; nil while it does not run
	peer    *protocol.Peer

	cut    bool // nothing passes on the underlay
	stalls bool // nothing passes from and to the usual port
	// stallsBack is that nothing passes to it.
	stallsBack bool
	spares     []*stageSpare
	noPort     error // why no other one can be opened
	answers    bool  // the peer answers echoes
	noSocket   error // why none can be opened
	replies    chan ping.Answer

	sockets int // open
	opened  int
	echoes  int
	heard   int      // data messages that the peer received
	arrived [][]byte // packets in them
	events  []string
}

var (
	nearAddr = netip.MustParseAddrPort("192.0.2.1:51820")
	farAddr  = netip.MustParseAddrPort("192.0.2.2:51820")
)

const echoTime = 4 * time.Millisecond

// newStage returns a link that has a session with a peer which sends keepalives or not.
func newStage(t *testing.T, c LinkConfig, farKeepalive time.Duration) *stage {
	t.Helper()
	s := &stage{t: t, now: time.Now(), own: protocol.NewPrivateKey(), key: protocol.NewPrivateKey(), replies: make(chan ping.Answer, 1)}
	s.start = s.now
	s.far = protocol.PeerConfig{PublicKey: s.own.Public(), Keepalive: farKeepalive}
	s.begin(c)
	s.restart()
	if len(c.Remotes) > 0 {
		s.look()
	} else {
		s.l.peer.SetEndpoint(farAddr) // as if it had been heard
		s.l.peer.Initiate(s.now)
	}
	s.pass(0)
	s.expect("0s up")
	return s
}

// begin is what a program of this end begins with.
func (s *stage) begin(c LinkConfig) {
	s.t.Helper()
	e := NewEndpoint(Config{PrivateKey: s.own, Now: func() time.Time { return s.now }, Date: func(t time.Time) time.Time { return t }})
	c.Name, c.PublicKey, c.PeerAddress = "far", s.key.Public(), netip.MustParseAddr("fe80::2%far")
	c.Device = flowtest.NewDevice("far")
	c.Events = func(ev tunnel.Event) {
		word := "down: " + ev.Reason
		if ev.Up {
			word = "up"
		}
		s.events = append(s.events, fmt.Sprintf("%v %s", ev.Time.Sub(s.start).Round(10*time.Millisecond), word))
	}
	l, err := e.AddLink(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.l = l
	l.probe.open = func(string, netip.Addr) (pinger, error) {
		if s.noSocket != nil {
			return nil, s.noSocket
		}
		s.sockets++
		s.opened++
		return (*stagePinger)(s), nil
	}
	s.connect()
}

// replace has the program of this end be replaced by the next one, in no time.
func (s *stage) replace(c LinkConfig) {
	s.t.Helper()
	h, err := s.l.HandOver()
	if err != nil || h == nil {
		s.t.Fatal(h, err)
	}
	c.Resume = roundTrip(s.t, *h)
	c.Resume.At = math.MaxInt64
	s.begin(c)
}

// connect puts the stage in the place of the underlay.
func (s *stage) connect() {
	s.l.out.main = (*stageSender)(s)
	s.l.out.open = func() (spare, error) {
		if s.noPort != nil {
			return nil, s.noPort
		}
		x := &stageSpare{s: s, at: netip.AddrPortFrom(nearAddr.Addr(), uint16(40000+len(s.spares)))}
		s.spares = append(s.spares, x)
		return x, nil
	}
}

// restart has the peer start anew, without any session.
func (s *stage) restart() {
	s.machine = protocol.New(protocol.Config{PrivateKey: s.key})
	var err error
	if s.peer, err = s.machine.AddPeer(s.far); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) look() {
	s.l.found(s.now, resolved{groups: []remote.Group{{Addrs: []netip.AddrPort{farAddr}}}, done: true})
}

// passes reports whether anything does from and to an address of this end.
func (s *stage) passes(near netip.AddrPort) bool { return !s.cut && (near != nearAddr || !s.stalls) }

func (s *stage) toFar(msg []byte, from netip.AddrPort) {
	if !s.passes(from) || s.machine == nil {
		return
	}
	if binary.LittleEndian.Uint32(msg) == 4 {
		s.heard++
	}
	got := s.machine.Receive(s.now, from, msg)
	if got.Packet != nil {
		s.arrived = append(s.arrived, bytes.Clone(got.Packet))
	}
	if got.Reply != nil {
		s.toNear(got.Reply, from)
	}
}

func (s *stage) toNear(msg []byte, to netip.AddrPort) {
	var via any
	for _, x := range s.spares {
		if x.at == to && !x.closed {
			via = x
		}
	}
	if !s.passes(to) || to == nearAddr && s.stallsBack || to != nearAddr && via == nil {
		return
	}
	m := s.l.e.machine
	var got protocol.Received
	if !protocol.IsHandshake(msg) {
		got = m.Receive(s.now, farAddr, msg)
	} else if admitted, instead := m.Admit(s.now, farAddr, msg); admitted == (protocol.Admitted{}) {
		got = instead
	} else {
		admitted.Via = via
		got = m.Handshake(s.now, farAddr, msg, admitted)
	}
	if got.Reply != nil {
		s.toFar(got.Reply, s.near())
	}
	if got.Peer != nil && !s.l.isUp() {
		s.l.notify()
	}
}

// near is from where the link's packets come.
func (s *stage) near() netip.AddrPort {
	if port := s.l.out.usedPort(); port != 0 {
		return netip.AddrPortFrom(nearAddr.Addr(), port)
	}
	return nearAddr
}

// stageSender is the stage's end of the underlay.
type stageSender stage

func (x *stageSender) problem() error { return nil }

func (x *stageSender) Send(b *flow.Burst, to netip.AddrPort, _ netip.Addr) error {
	return (*stage)(x).send(b, nearAddr, to)
}

func (s *stage) send(b *flow.Burst, from, to netip.AddrPort) error {
	if to != farAddr {
		return fmt.Errorf("nobody is at %v", to)
	}
	for _, msg := range b.Parts() { // the stage's messages leave alone
		s.toFar(bytes.Clone(msg), from)
	}
	return nil
}

// stageSpare is another port of the link's.
type stageSpare struct {
	s             *stage
	at            netip.AddrPort
	closed, isOld bool
}

func (x *stageSpare) problem() error   { return nil }
func (x *stageSpare) has(via any) bool { return via == any(x) }
func (x *stageSpare) port() uint16     { return x.at.Port() }
func (x *stageSpare) stale() bool      { return x.isOld }
func (x *stageSpare) close()           { x.closed = true }

func (x *stageSpare) Send(b *flow.Burst, to netip.AddrPort, _ netip.Addr) error {
	if x.closed {
		x.s.t.Errorf("something is sent from %v, which is closed", x.at)
	}
	return x.s.send(b, x.at, to)
}

// stagePinger is the stage's end of the link's echoes.
type stagePinger stage

func (p *stagePinger) Answers() <-chan ping.Answer { return p.replies }
func (p *stagePinger) Close()                      { p.sockets-- }

func (p *stagePinger) Send() error {
	p.echoes++
	sealer, err := p.peer.Sealer(p.now, 1)
	if err != nil {
		return err
	}
	if p.cut || !p.answers {
		return nil
	}
	f := frame(100, 1)[10:]
	buf := make([]byte, protocol.Overhead+protocol.PaddedLen(len(f), DefaultMTU))
	copy(buf[protocol.HeaderLen:], f)
	msg := sealer.Add(buf, len(f), DefaultMTU)
	sealer.Seal()
	(*stage)(p).toNear(msg, sealer.To)
	p.replies <- ping.Answer{RTT: echoTime}
	return nil
}

// pass lets time go by, doing what falls due on the way.
func (s *stage) pass(d time.Duration) {
	s.t.Helper()
	until := s.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 100_000 {
			s.t.Fatalf("at %v the link never rests", s.now.Sub(s.start))
		}
		next := s.l.deadline(s.now)
		if s.machine != nil {
			if at := s.peer.NextDeadline(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if len(s.l.probe.answers()) > 0 || s.woken() {
			next = s.now
		}
		if next.After(until) {
			s.now = until
			return
		}
		if next.After(s.now) {
			s.now = next
		}
		s.step()
	}
}

// woken reports whether the link's goroutine would have been.
func (s *stage) woken() bool {
	select {
	case <-s.l.wake:
		return true
	default:
		return false
	}
}

func (s *stage) step() {
	select {
	case a := <-s.l.probe.answers():
		s.l.echoed(a)
	default:
	}
	if s.l.tick(s.now) && !s.l.settled() && len(s.l.cfg.Remotes) > 0 {
		s.look()
	}
	if s.machine != nil {
		for _, msg := range s.peer.Tick(s.now) {
			s.toNear(msg, s.peer.Status(s.now).Endpoint)
		}
	}
}

func (s *stage) expect(want ...string) {
	s.t.Helper()
	if !slices.EqualFunc(s.events, want, strings.HasPrefix) {
		s.t.Errorf("events:\n got %s\nwant %s", strings.Join(s.events, "\n     "), strings.Join(want, "\n     "))
	}
	s.events = nil
}

// at lets time go by until so long after the start.
func (s *stage) at(d time.Duration) {
	s.t.Helper()
	s.pass(s.start.Add(d).Sub(s.now))
}

var errNoAddress = errors.New("connect: cannot assign requested address")
