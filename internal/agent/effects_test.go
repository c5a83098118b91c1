package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"warren/internal/config"
	"warren/tunnel"
)

// opensSlowly opens tunnels that come up before Open returns, one of them when it is let.
type opensSlowly struct {
	*fakeTunnels
	slow string
	let  chan struct{}
}

func (o *opensSlowly) Open(name string, cfg config.Tunnel, r reporter) (tunnelHandle, error) {
	if name == o.slow {
		<-o.let
	}
	o.mu.Lock()
	o.open[name] = r
	o.mu.Unlock()
	r.event(tunnel.Event{Name: name, Up: true, Local: tunnel.Identity{1}, Peer: tunnel.Identity{2}})
	return &fakeTunnel{f: o.fakeTunnels, name: name, cfg: cfg}, nil
}

// A tunnel that takes its time to open keeps the loop from nothing, and what a tunnel reports
// before it is handed over is not lost.
func TestOpeningDoesNotHoldTheLoop(t *testing.T) {
	slow := &opensSlowly{slow: "b", let: make(chan struct{})}
	w := newWorldWith(t, router(peerConfig("b", 0), peerConfig("c", 1)), func(w *world) {
		slow.fakeTunnels = w.tunnels
		w.loop.tunnels = slow
		w.handles.begin = func(f func()) { go f() }
	})
	until(t, "c is up", func() bool { w.turn(); return len(w.speaker.neighbors) == 1 })
	if _, there := w.speaker.neighbors["c"]; !there {
		t.Errorf("neighbors %v", w.speaker.neighbors)
	}
	settled := w.settled()
	select {
	case <-settled:
		t.Error("settled while a tunnel is being opened")
	default:
	}
	close(slow.let)
	until(t, "b is up", func() bool { w.turn(); return len(w.speaker.neighbors) == 2 })
	<-settled
}

// What is still being opened when the daemon stops is closed.
func TestCloseWaitsForWhatIsBeingOpened(t *testing.T) {
	slow := &opensSlowly{slow: "b", let: make(chan struct{})}
	w := newWorldWith(t, router(peerConfig("b", 0)), func(w *world) {
		slow.fakeTunnels = w.tunnels
		w.loop.tunnels = slow
		w.handles.begin = func(f func()) { go f() }
	})
	var stopping sync.WaitGroup
	stopping.Go(func() { w.close("bye") })
	close(slow.let)
	stopping.Wait()
	expect(t, "noted", w.since(len(w.diary)-1), []string{"close b"})
}

// Reports go behind the result, also those that come at the same time.
func TestGateKeepsTheOrder(t *testing.T) {
	for range 100 {
		b := inbox{signal: make(chan struct{}, 1)}
		g := &gate{inbox: &b}
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() { g.put(tunnelReport{id: uint64(i), failed: errors.New("x")}) })
		}
		all.Go(func() { g.open(openResult{id: 7}) })
		all.Wait()
		got := b.take()
		if _, ok := got[0].(openResult); !ok || len(got) != 5 {
			t.Fatalf("%+v", got)
		}
	}
}

// The daemon is ready when all tunnels have been tried once, and only then strangers are let in.
func TestReadyWhenAllTunnelsWereTried(t *testing.T) {
	slow := &opensSlowly{slow: "b", let: make(chan struct{})}
	w := newWorld(t, router())
	w.m = newMachine()
	w.cfg = router(peerConfig("b", 0))
	slow.fakeTunnels = w.tunnels
	w.loop.tunnels = slow
	w.handles.begin = func(f func()) { go f() }
	mark := len(w.diary)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- w.run(ctx, func() { close(ready) }) }()
	var before []string
	if err := w.ask(ctx, func(context.Context) { before = slices.Clone(w.since(mark)) }); err != nil {
		t.Fatal(err)
	}
	expect(t, "while b is being opened", before, []string{"port 0", "guard [if-b]"})
	select {
	case <-ready:
		t.Error("ready before b was tried")
	default:
	}
	close(slow.let)
	<-ready
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !slices.Contains(w.since(mark), "listen []") {
		t.Errorf("%q", w.since(mark))
	}
}

// The interface of a tunnel that is being closed is still a tunnel's: its addresses are neither
// announced nor a source, and transports keep out of it.
func TestInterfaceThatIsBeingClosedIsATunnels(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	var closing func()
	w.handles.begin = func(f func()) { closing = f }
	noted, _ := w.reloads(t, router(peerConfig("c", 1)))
	expect(t, "noted", noted, []string{"guard [if-c if-b]"})
	if !w.isTunnel("if-b") || !w.isTunnel("if-c") {
		t.Error("it is nobody's")
	}
	closing()
	w.turn()
	if w.isTunnel("if-b") {
		t.Error("it is gone")
	}
}
