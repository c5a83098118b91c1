package tlslink

import (
	"testing"
	"time"

	"warren/tunnel"
)

// besidePair are two ends that are up. Each that has a channel carries the tunnel by another transport too.
func besidePair(t *testing.T, toA, toB chan tunnel.Received) (a, b *end) {
	t.Helper()
	a = newEnd(t, Config{Identity: tunnel.Identity{1}}, "b")
	b = newEnd(t, Config{Identity: tunnel.Identity{2}}, "a")
	for e, to := range map[*end]chan tunnel.Received{a: toA, b: toB} {
		e.cfg.Keepalive = time.Minute // so that what is sent is what is told
		if to != nil {
			e.cfg.Heard = func(r tunnel.Received) { to <- r }
		}
	}
	a.start(secretTrust(1))
	b.start(secretTrust(1), a.addr())
	return a, b
}

// Each end knows of the other that it has another transport, and is told what came by that.
func TestTold(t *testing.T) {
	toA, toB := make(chan tunnel.Received, 10), make(chan tunnel.Received, 10)
	a, b := besidePair(t, toA, toB)
	for _, e := range []*end{a, b} {
		if ev := e.waitEvents(1)[0]; !ev.Beside {
			t.Errorf("%+v", ev)
		}
	}
	for _, c := range []struct {
		from *end
		to   chan tunnel.Received
		r    tunnel.Received
	}{
		{a, toB, tunnel.Received{Up: true, Sent: 1 << 40, Got: 1<<40 - 5}},
		{b, toA, tunnel.Received{Sent: 7}},
		{b, toA, tunnel.Received{Up: true}},
	} {
		c.from.link.Tell(c.r)
		select {
		case got := <-c.to:
			if got != c.r {
				t.Errorf("told %+v, want %+v", got, c.r)
			}
		case <-time.After(patience):
			t.Fatalf("nothing was told; %+v", c.from.link.Status())
		}
	}
	if h := handOver(t, a); !h.Beside {
		t.Errorf("%+v", h)
	}
}

// An end that has no other transport, such as an older one, is told nothing of it, and would take that for an error; nor does it
// say that it has one.
func TestNotTold(t *testing.T) {
	toA := make(chan tunnel.Received, 10)
	a, b := besidePair(t, toA, nil)
	if ev := a.waitEvents(1)[0]; ev.Beside {
		t.Errorf("%+v", ev)
	}
	if ev := b.waitEvents(1)[0]; !ev.Beside {
		t.Errorf("%+v", ev)
	}
	frames := func() uint64 { return a.link.routes[0].Load().sent.Load() }
	before := frames()
	for range 100 {
		a.link.Tell(tunnel.Received{Up: true})
		for deadline := time.Now().Add(patience); len(a.link.routes[0].Load().s.control) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("what waits is not sent")
			}
		}
	}
	if n := frames() - before; n > 50 { // there may be keepalives
		t.Fatalf("something is told: %d frames", n)
	}
	b.link.Tell(tunnel.Received{Up: true})
	select {
	case r := <-toA:
		if !r.Up {
			t.Errorf("told %+v", r)
		}
	case <-time.After(patience):
		t.Fatal("nothing was told")
	}
	for _, e := range []*end{a, b} {
		if evs := e.seen(); len(evs) != 1 {
			t.Errorf("events %+v", evs)
		}
	}
}

// A session whose peer has another transport, or none any more, is not that which was paused for a restart.
func TestPauseKnowsOfTheOther(t *testing.T) {
	p := pause{peer: tunnel.Identity{1}, beside: true}
	s := &session{peer: hello{identity: tunnel.Identity{1}, flags: flagBeside}}
	if !p.continues(s) {
		t.Error("the same one is another")
	}
	s.peer.flags = 0
	if p.continues(s) {
		t.Error("another one is the same")
	}
}
