package wireguard

import (
	"net/netip"
	"sync/atomic"
	"time"

	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/protocol"
)

// A firewall or NAT on the way may stop passing the packets between two addresses and two UDP ports, without an ICMP error, and go on
// with that: each handshake that is tried keeps its entry alive. So when handshakes have been tried in vain for a while, each is sent by
// spare sockets too, whose port the kernel chooses. Where the answer comes, the tunnel's packets leave from then on, until it goes
// down. The peer finds out by itself. The endpoint's port goes on being tried: a firewall of the peer's may know only that.

// spareAfter is after how many rounds in vain handshakes are sent by spare sockets too.
const spareAfter = 2

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

// initiateBySpare sends the message of a handshake by spare sockets too, if many were in vain.
func (l *Link) initiateBySpare(msg []byte, places []netip.AddrPort) {
	x := &l.out
	if l.isUp() || l.tries.lost.count < spareAfter {
		return
	}
	if x.used.Load() != nil || x.spare != nil && x.spare.stale() {
		x.close()
	}
	if x.spare == nil {
		s, err := x.open()
		if err != nil {
			l.log.Debug("cannot try another UDP port", "err", err)
			return
		}
		x.spare = s
	}
	for _, to := range places {
		if err := x.spare.Send(l.flow.Single(msg), to, netip.Addr{}); err != nil {
			l.log.Debug("cannot send from another UDP port", "remote", to, "err", err)
		}
	}
}

// followExit has packets leave by the spare sockets if the session was made by them.
func (l *Link) followExit(s *protocol.Status) {
	x := &l.out
	if x.spare == nil || x.used.Load() != nil || s.Via == nil || !x.spare.has(s.Via) {
		return
	}
	x.use(x.spare)
	l.log.Warn("packets from the usual UDP port get lost on the way to the peer, and others do not: the tunnel is carried from another port until it goes down",
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

// openSpare opens the sockets and begins to receive at them. A port other than 0 is one that the program before had, or is free.
func (e *Endpoint) openSpare(o opening) (spare, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
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
	s.e.cfg.Leaves(s.port())
	s.current.Swap(&socketPair{err: errNoPort}).close()
}
