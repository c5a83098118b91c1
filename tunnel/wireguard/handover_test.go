package wireguard

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/wireguard/protocol"
)

// A socket of a program that did not ask what outer packets say of congestion is asked for it when
// it is taken over.
func TestInheritedSocketTellsOfMarks(t *testing.T) {
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	var failed error
	if err := raw.Control(func(f uintptr) { fd, failed = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	port := uint16(c.LocalAddr().(*net.UDPAddr).Port)
	c.Close()
	e := NewEndpoint(Config{Resume: &EndpointHandover{Sockets: []HandedSocket{{Network: "udp4", Port: port, Descriptor: fd}}}})
	if err := e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	p := e.free.current.Load()
	defer p.close()
	if p.port != port {
		t.Fatalf("the socket was not taken over: port %d, want %d", p.port, port)
	}
	own, err := p.v4.Descriptor()
	if err != nil {
		t.Fatal(err)
	}
	if on, err := unix.GetsockoptInt(own, unix.IPPROTO_IP, unix.IP_RECVTOS); err != nil || on != 1 {
		t.Errorf("IP_RECVTOS is %d, %v", on, err)
	}
}

// handOver halts a router and describes what it leaves to a next one in the same process, as that reads it.
func handOver(t *testing.T, r *node, a *end) (*Handover, *EndpointHandover) {
	t.Helper()
	r.e.Halt(t.Context())
	link, err := a.l.HandOver()
	if err != nil || link == nil {
		t.Fatal(link, err)
	}
	sockets := r.e.HandOver()
	for i := range sockets.Sockets {
		s := &sockets.Sockets[i]
		if s.Descriptor, err = unix.FcntlInt(uintptr(s.Descriptor), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
	}
	return roundTrip(t, *link), roundTrip(t, sockets)
}

// A link that goes on after a restart does not take its peer for dead before anything is read of what waits in the sockets, which
// may take longer than dead_after on a busy machine.
func TestNothingIsReadYet(t *testing.T) {
	t.Parallel()
	const dead = time.Second
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	c := LinkConfig{Name: "a", PublicKey: keyA.Public(), Keepalive: 100 * time.Millisecond, DeadAfter: MaxDeadAfter}
	b := startEnd(t, keyB, c)
	c.Name, c.PublicKey, c.Remotes = "b", keyB.Public(), []string{b.addr("127.0.0.1")}
	before := startEndpoint(t, Config{PrivateKey: keyA})
	a := before.start(c)
	a.next(true)
	b.next(true)
	link, sockets := handOver(t, before, a)
	t.Cleanup(before.e.Carry) // so that it ends
	c.Resume, c.DeadAfter = link, dead
	after := &node{t: t, e: NewEndpoint(Config{PrivateKey: keyA, Resume: sockets})}
	if err := after.e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	next := after.prepare(c)
	after.run(next.l.Run)
	next.next(true)
	spoke := func() time.Time { return next.l.peer.Status(time.Now()).Spoke }
	last := spoke()
	waitFor(t, func() bool { return time.Since(last) > 3*dead }, func() any { return spoke() })
	if len(next.events) > 0 {
		t.Fatalf("%+v before anything was read", <-next.events)
	}
	after.e.DropInherited()
	after.run(after.e.Run)
	waitFor(t, func() bool { return spoke().After(last.Add(3 * dead)) }, func() any { return spoke() })
	if len(next.events) > 0 {
		t.Errorf("%+v although the peer's packets waited", <-next.events)
	}
}
