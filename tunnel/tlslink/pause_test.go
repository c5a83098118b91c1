package tlslink

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"warren/tunnel"
)

// restartable are two ends of a tunnel that is up. a listens, and b dials.
func restartable(t *testing.T) (a, b *end) { return restartableWith(t, func(*end) {}) }

func restartableWith(t *testing.T, prepare func(*end)) (a, b *end) {
	t.Helper()
	a = newEnd(t, Config{Identity: tunnel.Identity{1}}, "b")
	b = newEnd(t, Config{Identity: tunnel.Identity{2}}, "a")
	prepare(a)
	prepare(b)
	a.start(secretTrust(1))
	b.start(secretTrust(1), a.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	return a, b
}

func handOver(t *testing.T, e *end) *Handover {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e.endpoint.HandOver()
	h, err := e.link.HandOver(ctx)
	if err != nil || h == nil {
		t.Fatalf("handed over: %v, %v", h, err)
	}
	return h
}

// A tunnel whose end gives its session up for a restart, and goes on, stays up at both ends. What comes meanwhile
// is sent afterwards.
func TestPausedTunnelGoesOn(t *testing.T) {
	a, b := restartable(t)
	handOver(t, a)
	for _, e := range []*end{a, b} {
		e.dev.queues[0] <- packet(100, 7)
	}
	poll(t, func() bool { return b.link.gate.Load() != nil }, func() string { return "the far end does not pause" })
	if s := a.link.Status(); s.State != tunnel.StateUp {
		t.Errorf("it is %s while it is paused", s.State)
	}
	a.link.Carry()
	a.endpoint.Carry()
	a.waitWritten(1)
	b.waitWritten(1)
	for _, e := range []*end{a, b} {
		if evs := e.seen(); len(evs) != 1 {
			t.Errorf("%s: events %+v", e.cfg.Name, evs)
		}
		if _, carrier, _ := e.dev.snapshot(); len(carrier) == 0 || !carrier[len(carrier)-1] {
			t.Errorf("%s: carriers %v", e.cfg.Name, carrier)
		}
	}
}

// What an end has read before it is restarted arrives: the next program finds only what it has not.
func TestWhatWasReadIsSentBeforeARestart(t *testing.T) {
	for range 10 {
		a, b := restartableWith(t, func(e *end) { e.endpoint.partTimeout = patience })
		stop, fed := make(chan struct{}), make(chan int)
		go func() {
			n := 0
			for {
				feed := a.dev.queues[0]
				if n-int(b.link.Status().Stats.RxPackets) > mostOnTheWay {
					feed = nil
				}
				select {
				case feed <- marked(packet(100, 7)):
					n++
				case <-time.After(time.Millisecond):
				case <-stop:
					fed <- n
					return
				}
			}
		}()
		b.waitWritten(100)
		handOver(t, a)
		close(stop)
		b.waitWritten(<-fed - len(a.dev.queues[0]) - 1) // the fake interface may have one in its hands
		a.halt(nil)
		b.halt(nil)
	}
}

// The next program's link is up from the start, with the ends that it had, and goes on with the session that
// comes.
func TestHandedOverTunnelGoesOn(t *testing.T) {
	a, b := restartable(t)
	h := handOver(t, a)
	left := a.endpoint.HandOver()
	next := newEnd(t, Config{Identity: tunnel.Identity{1}, Resume: &EndpointHandover{Instance: left.Instance}}, "b")
	next.cfg.Resume = h
	next.start(secretTrust(1))
	if evs := next.seen(); len(evs) != 1 || !evs[0].Up || evs[0].Peer != b.seen()[0].Local {
		t.Fatalf("events %+v", evs)
	}
	// It has another address here, as the one before still listens.
	b.halt(nil)
	b.endpoint.instance = h.Instance
	b.start(secretTrust(1), next.addr())
	b.waitEvents(3)
	b.dev.queues[0] <- packet(100, 7)
	next.waitWritten(1)
	if evs := next.seen(); len(evs) != 1 {
		t.Errorf("events %+v", evs)
	}
}

// withSecond is a tunnel with the second of two remotes, which are two routers. The first was not in the DNS when the tunnel came up, and
// is now. prepare may change the end that dials before it is started.
func withSecond(t *testing.T, prepare func(c *end)) (c, first, second *end) {
	t.Helper()
	s := servers(t, 2)
	c = client(t)
	c.cfg.ConnectTimeout = time.Minute
	var there atomic.Bool
	c.resolver = func(_ context.Context, _, name string) ([]netip.AddrPort, error) {
		switch {
		case name == "second:1":
			return []netip.AddrPort{s[1].place()}, nil
		case there.Load():
			return []netip.AddrPort{s[0].place()}, nil
		}
		return nil, errors.New("no such name")
	}
	prepare(c)
	c.start(secretTrust(0), "first:1", "second:1")
	if ev := c.waitEvents(1)[0]; ev.Remote != s[1].place() {
		t.Fatalf("%+v", ev)
	}
	s[1].waitEvents(1)
	there.Store(true)
	return c, s[0], s[1]
}

// While it is paused a tunnel is dialed where it was, though a remote that comes before that would take it. That is another router, with
// which it would begin from the start.
func TestPausedTunnelIsDialedWhereItWas(t *testing.T) {
	c, first, second := withSecond(t, func(*end) {})
	handOver(t, second)
	poll(t, func() bool { return c.link.gate.Load() != nil }, func() string { return "the far end does not pause" })
	second.link.Carry()
	second.endpoint.Carry()
	c.dev.queues[0] <- packet(100, 7)
	second.waitWritten(1)
	for _, e := range []*end{c, second} {
		if evs := e.seen(); len(evs) != 1 {
			t.Errorf("%s: events %+v", e.cfg.Name, evs)
		}
	}
	if evs := first.seen(); len(evs) != 0 {
		t.Errorf("the first: events %+v", evs)
	}
}

// So does the end that dials after its own restart, and asks no name server before.
func TestHandedOverTunnelIsDialedWhereItWas(t *testing.T) {
	c, first, second := withSecond(t, func(*end) {})
	h := handOver(t, c)
	if h.Dialed != "second:1" || h.Remote != second.place() {
		t.Fatalf("%+v", h)
	}
	next := newEnd(t, Config{Identity: [32]byte{1}, Resume: &EndpointHandover{Instance: c.endpoint.instance}}, "server")
	next.cfg.ConnectTimeout, next.cfg.Resume = time.Minute, h
	next.resolver = func(ctx context.Context, _, _ string) ([]netip.AddrPort, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	next.start(secretTrust(0), "first:1", "second:1")
	next.dev.queues[0] <- packet(100, 7)
	second.waitWritten(1)
	for _, e := range []*end{next, second} {
		if evs := e.seen(); len(evs) != 1 {
			t.Errorf("%s: events %+v", e.cfg.Name, evs)
		}
	}
	if evs := first.seen(); len(evs) != 0 {
		t.Errorf("the first: events %+v", evs)
	}
}

// Where a session was that the peer has dialed, or whose remote is configured no more, is not dialed.
func TestPauseIsDialedByItsRemoteAlone(t *testing.T) {
	remotes, at := []string{"a:1", "b:1"}, netip.MustParseAddrPort("192.0.2.1:443")
	for name, c := range map[string]struct {
		p    *pause
		want int // of the remotes; -1: none
	}{
		"no pause":            {nil, -1},
		"the peer has dialed": {&pause{remote: at}, -1},
		"the second":          {&pause{remote: at, dialed: "b:1"}, 1},
		"one that is gone":    {&pause{remote: at, dialed: "c:1"}, -1},
	} {
		switch g := c.p.at(remotes); {
		case g == nil && c.want >= 0, g != nil && (g.Remote != c.want || len(g.Addrs) != 1 || g.Addrs[0] != at):
			t.Errorf("%s: %+v", name, g)
		}
	}
}

// While the tunnel is paused no lane has a queue: neither those that are there, nor one that comes up then, which carries nothing.
func TestPausedTunnelGetsNoLanes(t *testing.T) {
	l, s := stillLink(t)
	l.beginPause(pause{}, false)
	s.parting.Store(true)
	s.lanes[1].lost.Store(true)
	l.forgetLost()
	l.lookBack(t.Context())
	before := s.lanes
	for name, take := range map[string]func(w *wire){
		"lane": func(w *wire) { l.laneDialed(laneResult{laneDial: laneDial{s: s, hello: hello{lane: 1}}, wire: w}) },
		"replacement": func(w *wire) {
			l.laneDialed(laneResult{laneDial: laneDial{s: s, hello: hello{flags: flagReplaces}, renews: true}, wire: w})
		},
		"first remote": func(w *wire) { l.returned(t.Context(), returnResult{s: s, wire: w, taking: true}) },
	} {
		here, there := net.Pipe()
		take(newWire(here))
		there.SetDeadline(time.Now().Add(patience))
		if _, err := there.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v, want its connection to be closed", name, err)
		}
	}
	for q := range l.routes {
		if ln := l.routes[q].Load(); ln != nil {
			t.Errorf("queue %d has lane %d", q, ln.number)
		}
	}
	if s.lanes != before || l.session != s {
		t.Errorf("lanes %v, want %v", s.lanes, before)
	}
}

// The status of a tunnel that was handed over says which of the keys it uses that the next program has, in their order, and none if it is
// not among these.
func TestHandedOverTunnelNamesItsKey(t *testing.T) {
	named := func(names ...string) (trust Trust) {
		for i, name := range names {
			trust.Secrets = append(trust.Secrets, Secret{Name: name, Key: secretTrust(byte(i)).Secrets[0].Key})
		}
		return trust
	}
	one, other := ownCert(t, "one"), ownCert(t, "other")
	fingerprint := Fingerprint(CertificateIdentity(one.Certificate[0]))
	for name, c := range map[string]struct {
		key   string
		trust Trust
		want  int
	}{
		"the only secret":        {"a", named("a"), 1},
		"the second secret":      {"a", named("b", "a"), 2},
		"a secret that is gone":  {"a", named("b"), 0},
		"a secret without name":  {"", named(""), 0},
		"the second certificate": {fingerprint, pin(other, one), 2},
		"a certificate, gone":    {fingerprint, pin(other), 0},
		"a CA":                   {fingerprint, Trust{CA: newAuthority(t).pool, PeerName: "b"}, 1},
		"of an older program":    {"", Trust{CA: newAuthority(t).pool, PeerName: "b"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnd(t, Config{Identity: tunnel.Identity{1}, Certificate: ownCert(t, "own")}, "b")
			e.cfg.Resume = &Handover{Local: tunnel.Identity{1}, Peer: tunnel.Identity{2}, Key: c.key}
			e.start(c.trust)
			want := c.key
			if c.want == 0 {
				want = ""
			}
			if s := e.link.Status(); s.State != tunnel.StateUp || s.Key != want || s.KeyPlace != c.want {
				t.Errorf("%s, key %q, place %d: want %q, place %d", s.State, s.Key, s.KeyPlace, want, c.want)
			}
		})
	}
}

// One that does not come back is down after dead_after, at both ends, and so is one of which another instance
// comes, which then is up.
func TestPausedTunnelGoesDown(t *testing.T) {
	a, b := restartableWith(t, func(e *end) { e.cfg.DeadAfter = shortLife })
	began := time.Now()
	handOver(t, a)
	for _, e := range []*end{a, b} {
		if evs := e.waitEvents(2); evs[1].Up || evs[1].Reason != errNotBack.Error() {
			t.Errorf("%s: events %+v", e.cfg.Name, evs)
		}
		if _, carrier, _ := e.dev.snapshot(); carrier[len(carrier)-1] {
			t.Errorf("%s: carriers %v", e.cfg.Name, carrier)
		}
	}
	if after := time.Since(began); after < a.cfg.DeadAfter {
		t.Errorf("down after %v", after)
	}

	a, b = restartable(t)
	handOver(t, a)
	a.endpoint.instance[0]++
	a.link.Carry()
	a.endpoint.Carry()
	if evs := b.waitEvents(3); evs[1].Up || evs[1].Reason != "the peer was restarted" || !evs[2].Up {
		t.Errorf("events %+v", evs)
	}
}

// A pump that finds no lane just before the pause is over takes the next session's, and drops nothing.
func TestPauseThatIsOverJustNow(t *testing.T) {
	l, s := stillLink(t)
	l.routes[0].Store(s.lanes[0])
	var over atomic.Bool
	var calls atomic.Int64
	none := make(chan int)
	go func() {
		n := 0
		for !over.Load() {
			if l.awaitLane(0) == nil {
				n++
			}
			calls.Add(1)
		}
		none <- n
	}()
	// Pauses, in the order of beginPause, begin and endPause. Where the two goroutines get a processor by turns only there are fewer.
	for pauses, began := 0, time.Now(); pauses < 50_000 && time.Since(began) < patience/2; pauses++ {
		gate := make(chan struct{})
		l.gate.Store(&gate)
		l.routes[0].Store(nil)
		l.routes[0].Store(s.lanes[0])
		l.gate.Store(nil)
		close(gate)
		for end := calls.Load() + 2; calls.Load() < end; { // no call sees two pauses, which are never so close
			runtime.Gosched()
		}
	}
	over.Store(true)
	if n := <-none; n > 0 {
		t.Errorf("no lane %d times", n)
	}
}
