package tlslink

import (
	"testing"
	"time"

	"warren/tunnel"
)

// lostPair is a pair with two tunnels, of which nothing but the ways of a's first ends a session. What the ends say of lost tunnels
// is passed on as the agent does. a dials.
type lostPair struct {
	a, b  [2]*end
	paths *fakePaths
	toldB chan tunnel.SessionID // by the second
}

func newLostPair(t *testing.T) *lostPair {
	t.Helper()
	p := &lostPair{paths: &fakePaths{}, toldB: make(chan tunnel.SessionID, 1000)}
	for i := range 2 {
		a, b, _ := sleepyPair(t)
		a.cfg.Keepalive, b.cfg.Keepalive = 5*time.Minute, 5*time.Minute
		p.a[i], p.b[i] = a, b
	}
	p.a[0].cfg.Paths = p.paths
	p.b[1].cfg.PeerLost = func(id tunnel.SessionID) {
		p.toldB <- id
		p.b[0].link.TakeLost(id)
		p.b[1].link.TakeLost(id)
	}
	p.a[0].cfg.Lost = func(id tunnel.SessionID) { p.a[1].link.TellLost(id) }
	return p
}

func (p *lostPair) start(t *testing.T) {
	t.Helper()
	for i := range 2 {
		p.b[i].start(secretTrust(0))
		p.a[i].start(secretTrust(0), p.b[i].addr())
		p.a[i].waitEvents(1)
		p.b[i].waitEvents(1)
	}
	poll(t, func() bool { return p.paths.count(true) == 1 }, func() string { return "the connection is not followed" })
}

// TestLostIsTold: the end that still hears nothing of it has the tunnel down at once by what the other end says over another one,
// which stays up.
func TestLostIsTold(t *testing.T) {
	p := newLostPair(t)
	p.start(t)
	p.paths.tell(true, true, "interface eth0 is down")
	if down := p.b[0].waitEvents(2)[1]; down.Up {
		t.Fatalf("%+v", down)
	}
	select {
	case <-p.toldB:
	case <-time.After(patience):
		t.Fatal("the peer was not told")
	}
	// The line works in truth: the next session is made at once.
	p.a[0].waitEvents(3)
	p.b[0].waitEvents(3)
	exchangePackets(t, p.a[0], p.b[0])
	if evs := p.b[1].seen(); len(evs) != 1 {
		t.Errorf("the other tunnel: %+v", evs)
	}
}

// TestWrongNotice: a session whose peer does not know that it is lost is made again.
func TestWrongNotice(t *testing.T) {
	p := newLostPair(t)
	p.start(t)
	id := p.a[0].link.routes[0].Load().s.id
	p.a[1].link.TellLost(id)
	if down := p.b[0].waitEvents(2)[1]; down.Reason != tunnel.ErrPeerLost.Error() {
		t.Errorf("%+v", down)
	}
	p.b[0].waitEvents(3)
	if evs := p.a[0].waitEvents(3); evs[1].Up || !evs[2].Up {
		t.Errorf("%+v", evs)
	}
	exchangePackets(t, p.a[0], p.b[0])
}

// TestOthersLost: IDs of no session of this tunnel do nothing, and a flood of them is not passed on.
func TestOthersLost(t *testing.T) {
	p := newLostPair(t)
	p.start(t)
	s := p.a[1].link.routes[0].Load().s
	for i := range 5000 {
		if err := s.lanes[0].send(encode(frameLost, tunnelID(i))); err != nil {
			t.Fatal(err)
		}
	}
	exchangePackets(t, p.a[1], p.b[1]) // all frames before were taken
	if n := len(p.toldB); n == 0 || n > 100 {
		t.Errorf("%d of 5000 were passed on", n)
	}
	if evs := append(p.b[0].seen(), p.b[1].seen()...); len(evs) != 2 {
		t.Errorf("%+v", evs)
	}
}

func tunnelID(i int) []byte {
	id := make([]byte, lostLen)
	id[0], id[1] = byte(i), byte(i>>8)
	return id
}

// TestOlderEndIsNotTold: an end that does not know the frame, and would take it for an error, is not sent it.
func TestOlderEndIsNotTold(t *testing.T) {
	p := newLostPair(t)
	p.b[1].endpoint.able &^= flagTakesLost
	p.start(t)
	p.a[1].link.TellLost(p.a[0].link.routes[0].Load().s.id)
	exchangePackets(t, p.a[1], p.b[1])
	if len(p.toldB) > 0 {
		t.Error("it is told")
	}
}
