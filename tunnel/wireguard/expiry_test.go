package wireguard

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

// A session is renewed although there is no data, and where that fails the tunnel goes
// down when it ends. The test is the clock of one end, which sends no keepalives.
func TestSessionWithoutDataIsRenewed(t *testing.T) {
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	b := startEnd(t, keyB, LinkConfig{Name: "a", PublicKey: keyA.Public()})
	// It runs now: a link that begins to run after its peer was heard asks for a session itself, and this end does not see to that.
	if err := b.l.SetKeys(b.l.cfg.keys()); err != nil {
		t.Fatal(err)
	}
	// The receiving of a runs, but the test does what Run of its link would.
	e := NewEndpoint(Config{PrivateKey: keyA})
	if err := e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	go e.Run(t.Context())
	events := make(chan tunnel.Event, 4)
	l, err := e.AddLink(LinkConfig{
		Name: "b", PublicKey: keyB.Public(), Remotes: []string{b.addr("127.0.0.1")}, Device: flowtest.NewDevice("b"),
		Events: func(ev tunnel.Event) { events <- ev },
	})
	if err != nil {
		t.Fatal(err)
	}
	next := func() tunnel.Event {
		t.Helper()
		select {
		case ev := <-events:
			return ev
		case <-time.After(patience):
			t.Fatalf("nothing happened: %+v", l.peer.Status(time.Now()))
			panic("unreachable")
		}
	}
	session := func(after time.Time) time.Time {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if s := l.peer.Status(time.Now()); s.Established && s.Since.After(after) {
				return s.Since
			}
			if time.Now().After(deadline) {
				t.Fatal("no session")
			}
		}
	}
	at := netip.MustParseAddrPort(l.cfg.Remotes[0])
	l.found(time.Now(), resolved{groups: []remote.Group{{Addrs: []netip.AddrPort{at}}}, done: true})
	l.tick(time.Now())
	first := session(time.Time{})
	l.tick(time.Now())
	if ev := next(); !ev.Up {
		t.Fatalf("%+v", ev)
	}
	if d := l.deadline(time.Now()); !d.Equal(first.Add(protocol.RekeyAfterTime)) {
		t.Errorf("the next thing to do is after %v, want %v", d.Sub(first), protocol.RekeyAfterTime)
	}
	begun := l.initiated
	if l.tick(first.Add(protocol.RekeyAfterTime - time.Second)); !l.initiated.Equal(begun) {
		t.Error("renewed early")
	}
	time.Sleep(time.Until(first.Add(50 * time.Millisecond))) // the responder answers one in 20 ms
	if l.tick(first.Add(protocol.RekeyAfterTime)); l.initiated.Equal(begun) {
		t.Fatal("not renewed")
	}
	second := session(first)

	b.stop()
	l.tick(second.Add(protocol.RejectAfterTime - time.Second))
	if len(events) > 0 {
		t.Fatalf("down before the session ended: %+v", <-events)
	}
	l.tick(second.Add(protocol.RejectAfterTime))
	if ev := next(); ev.Up || !strings.Contains(ev.Reason, "could not be renewed") {
		t.Fatalf("%+v", ev)
	}
}

func TestSetListenPort(t *testing.T) {
	e, other := NewEndpoint(Config{}), NewEndpoint(Config{})
	for _, x := range []*Endpoint{e, other} {
		if x.ListenPort() != 0 {
			t.Error("a port before there is one")
		}
		if err := x.SetListenPort(0); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		ctx := t.Context()
		go func() { done <- x.Run(ctx) }()
		t.Cleanup(func() { <-done })
	}
	port, before := e.ListenPort(), e.free.current.Load()
	if err := e.SetListenPort(port); err != nil || e.free.current.Load() != before {
		t.Errorf("the same port again: %v, or another socket", err)
	}
	err := e.SetListenPort(other.ListenPort())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(other.ListenPort())) || e.ListenPort() != port {
		t.Errorf("a port that is taken: %v, now %d", err, e.ListenPort())
	}
}

// A link that has ended leaves its peer free for another.
func TestLinkCanBeAddedAgain(t *testing.T) {
	a, b := newPair(t, "127.0.0.1", time.Second)
	c := b.l.cfg
	if _, err := b.e.AddLink(c); err == nil {
		t.Fatal("a peer with two links")
	}
	b.stop()
	a.next(false)
	if _, err := b.e.AddLink(c); err != nil {
		t.Fatal(err)
	}
}
