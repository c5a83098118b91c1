package wireguard

import (
	"testing"
	"time"

	"warren/tunnel/wireguard/pathmtu"
)

// TestRouterIsToldThatItIsLeft: one that is left for another has the tunnel down without waiting for dead_after, be it for the first
// of the remotes or because that was asked for.
func TestRouterIsToldThatItIsLeft(t *testing.T) {
	t.Run("for the first", func(t *testing.T) {
		t.Parallel()
		f := newFleetWith(t, 2, 2, MaxDeadAfter)
		f.wires[0].toward.Store(true)
		f.cfg.ReturnToFirst, f.cfg.ConnectTimeout = true, 100*time.Millisecond
		n := f.client.prepare(f.cfg)
		n.l.back.every, n.l.back.proof = 200*time.Millisecond, 400*time.Millisecond
		n.stop = f.client.run(n.l.Run)
		n.next(true)
		f.waitAt(n, 1)
		f.servers[1].next(true)
		f.wires[0].toward.Store(false)
		f.waitAt(n, 0)
		f.servers[0].next(true)
		f.servers[1].next(false)
		n.reaches(f.servers[0])
		f.servers[0].reaches(n)
		if len(f.servers[0].events) > 0 {
			t.Errorf("the first: %+v", <-f.servers[0].events)
		}
	})
	t.Run("as was asked for", func(t *testing.T) {
		t.Parallel()
		f := newFleetWith(t, 2, 2, MaxDeadAfter)
		a := f.client.start(f.cfg)
		f.waitAt(a, 0)
		f.servers[0].next(true)
		a.next(true)
		a.l.Leave()
		a.next(false)
		f.servers[0].next(false)
	})
}

// TestOlderSessionIsLeft: a router that is reached by another of its addresses from now on, in another session, is not left.
func TestOlderSessionIsLeft(t *testing.T) {
	s := newStage(t, probing, time.Second)
	index := s.l.peer.Status(s.now).Index
	s.l.notice(pathmtu.Leaving(index + 1))
	s.pass(2 * time.Second)
	s.expect()
	s.l.notice(pathmtu.Leaving(index))
	s.pass(0)
	s.cut = true
	s.pass(200 * time.Millisecond)
	if len(s.events) != 1 {
		t.Errorf("events %q", s.events)
	}
}
