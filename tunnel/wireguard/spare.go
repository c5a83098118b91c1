package wireguard

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/protocol"
)

// A firewall or NAT on the way may stop passing the packets between two addresses and two UDP ports, or those of one direction, without
// an ICMP error, and go on with that: each handshake that is tried keeps its entry alive. So when handshakes have been tried in vain for
// a while, those of some rounds leave by spare sockets, whose port the kernel chooses. Not by both at once: to the peer the one that
// comes later is the same message again, and is not answered. Where the answer comes, the tunnel's packets leave from then on, until it
// goes down. The peer finds out by itself. The endpoint's port goes on being tried: a firewall of the peer's may know only that.

// After spareAfter rounds in vain handshakes leave by spare sockets for one round, and then for one of spareEach: most peers that do not
// answer are gone for a while, and are to find the tunnel at its usual port when they are back.
const (
	spareAfter = 2
	spareEach  = 4
)

// lostRounds counts the rounds through all places without an answer.
type lostRounds struct {
	count int       // in a row
	began time.Time // the one under way; zero: there was none
	fails bool      // something of it could not be sent
}

// countRound notes that a round begins. What could not be sent was not lost on the way, nor was what got a response that could
// not be used. A round that was broken off, as the places or keys are others, goes on in the next one.
func (l *Link) countRound(now time.Time) {
	r := &l.tries.lost
	s := l.peer.Status(now)
	switch {
	case r.began.IsZero():
	case r.fails || s.Unopened.After(r.began) || s.Refused.After(r.began):
		r.count = 0
	case now.Sub(r.began) < protocol.RekeyTimeout:
		return
	default:
		r.count++
	}
	r.began, r.fails = now, false
}

// spare are sockets of a port of one link. [spareBinding] is the one outside tests.
type spare interface {
	sender
	has(via any) bool // reports whether via is one of the sockets
	port() uint16
	stale() bool
	close()
}

// exits are the sockets by which the packets of a link leave. Send and problem may be called from any goroutine; the rest is for that
// of Link.Run, and for who makes the link.
type exits struct {
	main  sender // the endpoint's port
	open  func() (spare, error)
	spare spare                 // that is open; nil: none
	used  atomic.Pointer[spare] // the same while packets leave by it; nil: by main
}

// Send implements [flow.Sender].
func (x *exits) Send(b *flow.Burst, to netip.AddrPort, from netip.Addr) error {
	return x.current().Send(b, to, from)
}

// problem is why nothing can be sent, or nil.
func (x *exits) problem() error { return x.current().problem() }

func (x *exits) current() sender {
	if s := x.used.Load(); s != nil {
		return *s
	}
	return x.main
}

// usedPort is that of the spare sockets, if packets leave by them; 0: they do not. It may be called from any goroutine.
func (x *exits) usedPort() uint16 {
	if s := x.used.Load(); s != nil {
		return (*s).port()
	}
	return 0
}

func (x *exits) use(s spare) {
	x.spare = s
	x.used.Store(&s)
}

// settle closes the spare sockets if packets do not leave by them.
func (x *exits) settle() {
	if x.used.Load() == nil {
		x.close()
	}
}

// close has packets leave by the endpoint's port.
func (x *exits) close() {
	x.used.Store(nil)
	if x.spare != nil {
		x.spare.close()
		x.spare = nil
	}
}

// trySpare returns the spare sockets by which the handshakes of this round leave; nil: by the usual ones.
func (l *Link) trySpare() spare {
	x := &l.out
	if n := l.tries.lost.count - spareAfter; l.isUp() || n < 0 || n%spareEach != 0 {
		return nil
	}
	if x.used.Load() != nil || x.spare != nil && x.spare.stale() {
		x.close()
	}
	if x.spare == nil {
		s, err := x.open()
		if err != nil {
			l.log.Debug("cannot try another UDP port", "err", err)
			return nil
		}
		x.spare = s
	}
	return x.spare
}

// transmitBy sends a message to some places by other sockets than the usual ones, whatever its source. It returns an error if it
// could be sent to none.
func (l *Link) transmitBy(x spare, msg []byte, places []netip.AddrPort) error {
	return sendEach(places, func(to netip.AddrPort) error { return x.Send(l.flow.Single(msg), to, netip.Addr{}) })
}

// followExit has packets leave by the spare sockets if the session was made by them.
func (l *Link) followExit(s *protocol.Status) {
	x := &l.out
	if x.spare == nil || x.used.Load() != nil || s.Via == nil || !x.spare.has(s.Via) {
		return
	}
	x.use(x.spare)
	l.log.Warn("the peer has answered at another UDP port after long silence: a firewall or NAT on the way may not pass the usual one's packets; the tunnel is carried from the other port until it goes down",
		"remote", s.Endpoint, "port", x.spare.port())
}

// takeUpSpare has packets leave by the spare sockets that the program before has used.
func (l *Link) takeUpSpare(port uint16) {
	s, err := l.e.openSpare(opening{underlay: l.cfg.Underlay, port: port, spare: true})
	if err != nil {
		l.log.Warn("the UDP port from which the tunnel was carried cannot be taken over", "port", port, "err", err)
		return
	}
	l.out.use(s)
}

// spareBinding is the spare sockets of a link.
type spareBinding struct {
	*binding
	e *Endpoint
}

// maxSpares bounds the spare ports of all links: of many peers that are out of reach at once most are so for another reason, and each
// port costs descriptors, and rules where packets are filtered by their sources.
const maxSpares = 32

// openSpare opens the sockets and begins to receive at them. A port other than 0 is one that the program before had, or is free.
func (e *Endpoint) openSpare(o opening) (spare, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o.port == 0 && len(e.spares) >= maxSpares {
		return nil, fmt.Errorf("wireguard: %d other tunnels are trying another port", len(e.spares))
	}
	p, err := e.open(o)
	if err != nil {
		return nil, err
	}
	e.cfg.Listens(p.port)
	b := newBinding(o.underlay)
	e.replace(b, p)
	e.spares[b] = struct{}{}
	return &spareBinding{b, e}, nil
}

func (s *spareBinding) has(via any) bool {
	p := s.current.Load()
	socket, ok := via.(*flow.Socket)
	return ok && (socket == p.v4 || socket == p.v6)
}

func (s *spareBinding) port() uint16 { return s.current.Load().port }

func (s *spareBinding) close() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	delete(s.e.spares, s.binding)
	old := s.current.Swap(&socketPair{err: errNoPort})
	old.close()
	s.e.left(old.port)
}
