package wireguard

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
)

// TestPeerIsToldOfRestart: the far end answers, and waits until it hears that this one goes on.
func TestPeerIsToldOfRestart(t *testing.T) {
	a, b, _ := assignPair(t, nil)
	tell := func() {
		t.Helper()
		for range 5 { // a question is given up after a second, which a busy machine may take
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			a.l.TellRestart(ctx)
			cancel()
			if b.l.awaitsFor(time.Now()) > 0 {
				return
			}
		}
		t.Fatal("the far end does not wait")
	}
	goOn := func() {
		t.Helper()
		waitFor(t, func() bool { a.l.Carry(); return b.l.awaitsFor(time.Now()) == 0 },
			func() any { return fmt.Sprintf("the far end waits for %v more", b.l.awaitsFor(time.Now())) })
	}
	tell()
	tell()
	goOn()
	tell()
	if b.l.awaitsFor(time.Now()) > tunnel.RestartWithin {
		t.Errorf("the far end waits for %v", b.l.awaitsFor(time.Now()))
	}
}

// TestOthersAreNotWaitedFor: where nobody can answer it is not waited for more than was asked for, and not at all where there is
// nobody to ask.
func TestOthersAreNotWaitedFor(t *testing.T) {
	s := newStage(t, probing, time.Second)
	done := make(chan struct{})
	s.l.askAwait(s.now, done) // it has no addresses
	select {
	case <-done:
	default:
		t.Error("it waits, without an address to ask from")
	}
	s.l.setEnds(netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2"))
	done = make(chan struct{})
	s.l.askAwait(s.now, done)
	s.pass(100 * time.Millisecond)
	select {
	case <-done:
		t.Error("another device has answered")
	default:
	}
	asked := 0
	ends := pathmtu.Ends{Local: netip.MustParseAddr("fe80::2"), Peer: netip.MustParseAddr("fe80::1")}
	for _, p := range s.arrived {
		if m, ok := ends.TakeNotice(p); ok && m.Word == pathmtu.Await {
			asked++
		}
	}
	if asked < 3 {
		t.Errorf("asked %d times in 100 ms", asked)
	}
	s.pass(2 * askAwaitFor)
	s.arrived = nil
	s.pass(time.Second)
	for _, p := range s.arrived {
		if _, ok := ends.TakeNotice(p); ok {
			t.Fatal("it is asked without an end")
		}
	}
	done = make(chan struct{})
	s.l.askAwait(s.now, done)
	s.l.down(s.now, errReturning)
	s.l.tryRestart(s.now)
	select {
	case <-done:
	default:
		t.Error("it waits for an answer though the tunnel is down")
	}
}

// TestRestartIsNoSilence: a peer that has asked to be waited for may be silent for longer than dead_after, and is dead as any other
// once it is back, or when the time is over.
func TestRestartIsNoSilence(t *testing.T) {
	for _, back := range []bool{true, false} {
		s := newStage(t, LinkConfig{Keepalive: 20 * time.Millisecond, DeadAfter: 50 * time.Millisecond}, 20*time.Millisecond)
		s.l.setEnds(netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2"))
		s.at(time.Second)
		s.l.notice(pathmtu.Notice{Word: pathmtu.Await})
		s.pass(0)
		s.cut = true
		s.pass(tunnel.RestartWithin - 100*time.Millisecond)
		s.expect()
		if back {
			s.cut = false
			s.pass(30 * time.Millisecond)
			s.l.notice(pathmtu.Notice{Word: pathmtu.Back})
			s.pass(0)
			s.cut = true
		}
		s.pass(200 * time.Millisecond)
		why := "nothing came from the peer"
		if !back {
			why = errNotBack.Error()
		}
		if len(s.events) != 1 || !strings.Contains(s.events[0], why) {
			t.Errorf("back %v: events %q", back, s.events)
		}
	}
}

// TestBothEndsRestart: a peer that is being restarted is waited for by the next program of this end too, for as long as by the one
// before, and no longer.
func TestBothEndsRestart(t *testing.T) {
	c := LinkConfig{Keepalive: 20 * time.Millisecond, DeadAfter: 50 * time.Millisecond}
	for _, waits := range []bool{true, false} {
		s := newStage(t, c, 20*time.Millisecond)
		s.l.setEnds(netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2"))
		s.at(time.Second)
		if waits {
			s.l.notice(pathmtu.Notice{Word: pathmtu.Await})
			s.pass(0)
			s.cut = true
			s.pass(time.Second)
		}
		s.cut = true
		s.replace(c)
		s.pass(0)
		s.expect(map[bool]string{true: "2s up", false: "1s up"}[waits])
		if waits {
			s.pass(tunnel.RestartWithin - time.Second - 100*time.Millisecond)
			s.expect()
		}
		s.pass(200 * time.Millisecond)
		why := map[bool]string{true: errNotBack.Error(), false: "nothing came from the peer"}[waits]
		if len(s.events) != 1 || !strings.Contains(s.events[0], why) {
			t.Errorf("waits %v: events %q", waits, s.events)
		}
	}
}

// TestAwaitsNoMore: what a program leaves says nothing of a wait that is over.
func TestAwaitsNoMore(t *testing.T) {
	s := newStage(t, LinkConfig{Keepalive: 20 * time.Millisecond, DeadAfter: 50 * time.Millisecond}, 20*time.Millisecond)
	await := func(want time.Duration) {
		t.Helper()
		if got := s.l.awaitsFor(s.now); got != want {
			t.Errorf("the peer is waited for %v, want %v", got, want)
		}
	}
	await(0)
	for _, end := range []func(){
		func() { s.l.notice(pathmtu.Notice{Word: pathmtu.Back}) },
		func() { s.pass(2 * tunnel.RestartWithin) },
		func() { s.l.down(s.now, errReturning) },
	} {
		s.l.notice(pathmtu.Notice{Word: pathmtu.Await})
		s.pass(0)
		await(tunnel.RestartWithin)
		end()
		s.pass(0)
		await(0)
	}
}
