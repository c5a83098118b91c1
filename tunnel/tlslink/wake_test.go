package tlslink

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"warren/tunnel"
)

// sleeper is a clock that goes on while time.Now stands still.
type sleeper struct{ slept atomic.Int64 }

func (s *sleeper) now() time.Time        { return time.Now().Add(time.Duration(s.slept.Load())) }
func (s *sleeper) sleep(d time.Duration) { s.slept.Add(int64(d)) }

// sleepyPair is secretPair where a's machine sleeps now and then, and where nothing else
// ends a session for ten minutes.
func sleepyPair(t *testing.T) (a, b *end, s *sleeper) {
	t.Helper()
	s = &sleeper{}
	a = newEnd(t, Config{Identity: tunnel.Identity{1}, Now: s.now}, "a")
	b = newEnd(t, Config{Identity: tunnel.Identity{2}}, "b")
	return a, b, s
}

// A session whose peer was not heard for dead_after is over when the machine wakes up, and
// the peer is dialed at once.
func TestSessionIsOverAfterSleep(t *testing.T) {
	a, b, s := sleepyPair(t)
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr(), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	via.freeze()
	for len(a.seen()) == 1 { // what was on its way when the line froze may be read only after a sleep
		s.sleep(MaxDeadAfter)
		a.link.Wake()
		for woken := time.Now(); len(a.seen()) == 1 && time.Since(woken) < 5*time.Second; {
			time.Sleep(time.Millisecond)
		}
	}
	evs := a.waitEvents(3)
	if evs[1].Up || evs[1].Reason != "no sign of life from the peer for 10m0s" || !evs[2].Up {
		t.Fatalf("events %+v", evs[1:])
	}
	b.waitEvents(3)
	exchangePackets(t, a, b)
}

// A sleep that the session survives counts for the age of its keys, and of those that it had
// before.
func TestSleepAgesKeys(t *testing.T) {
	a, b, s := sleepyPair(t)
	b.start(secretTrust(0))
	a.endpoint.renewal.age = 5 * time.Minute
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	before := a.link.routes[0].Load()
	s.sleep(5 * time.Minute)
	a.link.Wake()
	poll(t, func() bool { return a.link.routes[0].Load() != before }, func() string { return "the keys were not replaced" })
	exchangePackets(t, a, b)
	if evs := a.seen(); len(evs) != 1 {
		t.Errorf("events %+v", evs)
	}
}

// What a lane had on its way is not waited for longer because the machine sleeps.
func TestSleepEndsDraining(t *testing.T) {
	a, b, s := sleepyPair(t)
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr())
	a.waitEvents(1)
	old := a.link.routes[0].Load()
	via.freeze() // so that the other end never finishes it
	now := a.endpoint.cfg.Now()
	old.drainUntil = now.Add(drainTimeout) // as takeOver sets it
	if got := keepOpen(now, []*lane{old}); len(got) != 1 {
		t.Fatal("it was given up at once")
	}
	s.sleep(drainTimeout)
	keepOpen(a.endpoint.cfg.Now(), []*lane{old})
	if evs := a.waitEvents(2); evs[1].Up {
		t.Errorf("events %+v", evs)
	}
}

// What was being dialed when the machine went to sleep is given up, and what was to be
// dialed later is dialed now.
func TestWakeDialsAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, _, _ := sleepyPair(t)
	a.start(secretTrust(0), l.Addr().String())
	first, err := l.Accept() // and say nothing
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	a.link.Wake()
	second, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if text := a.link.Status().LastError; text != "" {
		t.Errorf("dialed only when the first try had failed: %s", text)
	}

	waiting := newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 1)}, []*credential{{}})
	for range 10 {
		waiting.backoff.next()
	}
	waiting.awake(context.Background())
	if !waiting.backoff.due || waiting.backoff.next() != 0 {
		t.Error("the next dial waits")
	}
	if d := waiting.backoff.next(); d > minBackoff {
		t.Errorf("the one after it waits %v", d)
	}
}
