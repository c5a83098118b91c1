package wireguard

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// Over sockets: the tunnel is carried from another port, which the guard is told, and the next program in the same process goes on
// from there.
func TestStalledFlowIsLeftOverSockets(t *testing.T) {
	t.Parallel()
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	c := LinkConfig{Name: "a", PublicKey: keyA.Public(), Keepalive: 250 * time.Millisecond, DeadAfter: 5 * time.Second}
	b := startEnd(t, keyB, c)
	path := newWire(t, b.addr("127.0.0.1"))
	c.Name, c.PublicKey, c.Remotes = "b", keyB.Public(), []string{path.addr}
	told := make(chan uint16, 16)
	near := startEndpoint(t, Config{PrivateKey: keyA, Listens: func(port uint16) { told <- port }})
	a := near.start(c)
	a.next(true)
	b.next(true)
	usual := <-told
	path.stalled.Store(int32(usual))
	a.next(false)
	// The peer asks for a session too. Where both do at once, which on a busy machine is not rare, the tunnel comes up by the next other
	// port, which is tried spareEach rounds later.
	a.nextWithin(3*patience, true)
	b.next(false)
	b.next(true)
	port, isTold := a.l.out.usedPort(), false
	for len(told) > 0 {
		isTold = <-told == port || isTold
	}
	if port == 0 || port == usual || !isTold {
		t.Fatalf("port %d is used, told of: %v; %d is the usual one", port, isTold, usual)
	}
	a.reaches(b)
	b.reaches(a)
	var sockets *EndpointHandover
	c.Resume, sockets = handOver(t, near, a)
	near.e.Carry() // so that it ends
	after := &node{t: t, e: NewEndpoint(Config{PrivateKey: keyA, Resume: sockets})}
	if err := after.e.SetListenPort(0); err != nil || after.e.ListenPort() != usual {
		t.Fatalf("port %d, want %d: %v", after.e.ListenPort(), usual, err)
	}
	next := after.prepare(c)
	after.e.DropInherited()
	after.run(after.e.Run)
	next.stop = after.run(next.l.Run)
	next.next(true)
	if next.l.out.usedPort() != port {
		t.Errorf("port %d is used, want %d", next.l.out.usedPort(), port)
	}
	next.reaches(b)
	b.reaches(next)
	b.quiet()
	next.stop()
	if len(after.e.spares) > 0 {
		t.Error("the other port is open although the link has ended")
	}
}

// TestPortOfTwo has sockets of one port that are bound to different underlays. It is left with the last of them.
func TestPortOfTwo(t *testing.T) {
	const port = 40000
	var left []uint16
	e := NewEndpoint(Config{PrivateKey: protocol.NewPrivateKey(), Leaves: func(port uint16) { left = append(left, port) }})
	pair := func(underlay string) spare {
		b := newBinding(underlay)
		b.current.Store(&socketPair{port: port})
		e.spares[b] = struct{}{}
		return &spareBinding{b, e}
	}
	first, second := pair("wan0"), pair("wan1")
	first.close()
	if len(left) > 0 {
		t.Error("a port is left by which packets leave")
	}
	e.handed = []HandedSocket{{Network: "udp4", Port: port, Descriptor: -1, Spare: true}}
	e.DropInherited()
	if len(left) > 0 {
		t.Error("a port is left by which packets leave, as sockets of it were handed over")
	}
	second.close()
	if !slices.Equal(left, []uint16{port}) {
		t.Errorf("ports %d are left, want %d", left, port)
	}
}

// roundTrip has a value written and read, as it goes from one program to the next.
func roundTrip[T any](t *testing.T, v T) *T {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	again := new(T)
	if err := json.Unmarshal(text, again); err != nil {
		t.Fatal(err)
	}
	return again
}
