package tlslink

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakePaths are ways that a test takes away.
type fakePaths struct {
	mu      sync.Mutex
	follows map[int]fakeFollow
	n       int
}

type fakeFollow struct {
	local, remote netip.AddrPort
	changed       func(lost bool, why string)
}

func (p *fakePaths) Follow(local, remote netip.AddrPort, changed func(lost bool, why string)) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.follows == nil {
		p.follows = make(map[int]fakeFollow)
	}
	id := p.n
	p.n++
	p.follows[id] = fakeFollow{local, remote, changed}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.follows, id)
	}
}

// tell is a change of all ways that are followed, of connections or of what is dialed.
func (p *fakePaths) tell(connections, lost bool, why string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.follows {
		if f.local.IsValid() == connections {
			n++
			go f.changed(lost, why) // takes the lock
		}
	}
	return n
}

func (p *fakePaths) count(connections bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.follows {
		if f.local.IsValid() == connections {
			n++
		}
	}
	return n
}

// pathPair is a pair of which nothing but a's ways ends a session for ten minutes.
func pathPair(t *testing.T) (a, b *end, p *fakePaths) {
	t.Helper()
	a, b, _ = sleepyPair(t)
	p = &fakePaths{}
	a.cfg.Paths = p
	b.start(secretTrust(0))
	return a, b, p
}

// A connection without a way takes the tunnel down at once, and the peer is dialed at once.
func TestWayIsLost(t *testing.T) {
	a, b, p := pathPair(t)
	a.cfg.Keepalive = 5 * time.Minute
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	for n := 1; n <= 5; n += 2 { // sessions that did not last, after which a dial would wait for longer each time
		poll(t, func() bool { return p.count(true) == 1 }, func() string { return "the connection is not followed" })
		if left := p.count(false); left != 0 {
			t.Errorf("%d ways are followed as of what is dialed", left)
		}
		p.tell(true, true, "interface eth0 is down")
		evs := a.waitEvents(n + 2)
		if down := evs[n]; down.Up || down.Reason != "interface eth0 is down" || !evs[n+1].Up {
			t.Fatalf("events %+v", evs[n:])
		}
		b.waitEvents(n + 2)
	}
	exchangePackets(t, a, b)
	a.halt(nil)
	if left := p.count(true) + p.count(false); left != 0 {
		t.Errorf("%d ways are followed still", left)
	}
}

// A connection whose way is another goes on if the peer answers.
func TestWayIsProved(t *testing.T) {
	a, b, p := pathPair(t)
	a.cfg.Keepalive = 5 * time.Minute // so that only the question asks
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	for range 3 {
		before := a.link.Status().RTT
		p.tell(true, false, "the peer is reached by interface eth1 now")
		poll(t, func() bool { return a.link.Status().RTT != before }, func() string { return "the peer was not asked" })
	}
	time.Sleep(provenWithin + provenWithin/2) // what would end the session
	exchangePackets(t, a, b)
	if evs := a.seen(); len(evs) != 1 {
		t.Errorf("events %+v", evs)
	}
}

// It ends if the peer does not, and is dialed by the way that there is now.
func TestWayIsNotProved(t *testing.T) {
	a, b, p := pathPair(t)
	a.cfg.Keepalive = 5 * time.Minute // as the proxy acknowledges keepalives
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr(), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	via.freeze()
	p.tell(true, false, "the peer is reached by interface eth1 now")
	evs := a.waitEvents(3)
	if evs[1].Up || !strings.HasPrefix(evs[1].Reason, "the peer is reached by interface eth1 now, and ") || !evs[2].Up {
		t.Fatalf("events %+v", evs[1:])
	}
	exchangePackets(t, a, b)
}

// What is being dialed is given up when its way is lost, and is dialed again when there is
// another, also after everything was tried.
func TestDialFollowsWays(t *testing.T) {
	mute := newMute(t)
	a, _, p := pathPair(t)
	a.start(secretTrust(0), mute.addr())
	mute.accept(t)
	p.tell(false, false, "there is another way")
	mute.accept(t) // instead of waiting for the first
	p.tell(false, true, "interface eth0 is down")
	a.waitError("interface eth0 is down")
	a.halt(nil)

	waiting := newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 1)}, []*credential{{}})
	for range 10 {
		waiting.backoff.next()
	}
	waiting.redial()
	if !waiting.backoff.due || waiting.backoff.next() != 0 {
		t.Error("the next dial waits")
	}
}

// With the shortest times that are allowed a tunnel comes up, and a dead path is noticed.
func TestShortestTimes(t *testing.T) {
	a, b, _ := sleepyPair(t)
	for _, e := range []*end{a, b} {
		e.cfg.Keepalive, e.cfg.DeadAfter = MinKeepalive, MinDeadAfter
	}
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	via.freeze()
	poll(t, func() bool { // on a busy machine perhaps before that, and then by one end, which tells the other
		for _, ev := range append(a.seen(), b.seen()...) {
			if !ev.Up && ev.Reason == "no sign of life from the peer for 50ms" {
				return true
			}
		}
		return false
	}, func() string { return "nothing was noticed" })
}

// A reader that is kept from reading for far longer than dead_after, as in a process that is
// busy, does not make the peer look dead.
func TestBusyReader(t *testing.T) {
	a, b, _ := sleepyPair(t)
	a.cfg.Keepalive, a.cfg.DeadAfter = 100*time.Millisecond, 2*time.Second
	b.cfg.Keepalive = 20 * time.Millisecond
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	held := make(chan struct{})
	a.dev.mu.Lock()
	a.dev.onWrite = func([]byte) { <-held }
	a.dev.mu.Unlock()
	b.dev.queues[0] <- packet(100, 1)
	time.Sleep(3 * a.cfg.DeadAfter) // the reader is stuck in the write, and keepalives wait in the socket
	close(held)
	poll(t, func() bool { w, _, _ := a.dev.snapshot(); return len(w) == 1 }, func() string { return "the packet did not arrive" })
	exchangePackets(t, a, b)
	for _, ev := range a.seen()[1:] {
		t.Errorf("event %+v", ev)
	}
}

// mute is a server that takes connections and says nothing.
type mute struct{ l net.Listener }

func newMute(t *testing.T) mute {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return mute{l}
}

func (m mute) addr() string { return m.l.Addr().String() }

func (m mute) accept(t *testing.T) {
	t.Helper()
	if err := m.l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c, err := m.l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}
