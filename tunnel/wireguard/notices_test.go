package wireguard

import (
	"testing"
	"time"

	"warren/tunnel/wireguard/pathmtu"
)

// TestRouterIsToldThatItIsLeft: one that is left for another has the tunnel down without waiting for dead_after.
func TestRouterIsToldThatItIsLeft(t *testing.T) {
	t.Parallel()
	f := newFleetWith(t, 2, 2, MaxDeadAfter)
	a := f.client.start(f.cfg)
	f.waitAt(a, 0)
	f.servers[0].next(true)
	a.next(true)
	a.l.Leave()
	a.next(false)
	if ev := f.servers[0].next(false); ev.Reason != errLeft.Error() {
		t.Errorf("reason %q", ev.Reason)
	}
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
