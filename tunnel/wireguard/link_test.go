package wireguard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

func TestPacketsBothWays(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
		t.Run(host, func(t *testing.T) {
			a, b := newPair(t, host, patience)
			for _, way := range [][2]*end{{a, b}, {b, a}} {
				var want [][]byte
				for i := range 50 {
					// All sizes, so that batches end in every way.
					f := frame([]int{28, 100, 1420, 1420, 1420, 700, 1500, 9000}[i%8], byte(i))
					want = append(want, f)
					way[0].dev.Frames <- f
				}
				way[1].arrives(want...)
			}
			for _, n := range []*end{a, b} {
				s := n.l.Status()
				if s.State != tunnel.StateUp || s.Stats.RxPackets != 50 || s.Stats.TxPackets != 50 || s.Stats.Drops != 0 || !s.Remote.IsValid() {
					t.Errorf("%+v", s)
				}
				if _, carrier := n.dev.Take(); !carrier {
					t.Error("no carrier")
				}
			}
		})
	}
}

// Each port is told before packets leave from it, and when none does any more, that of spare sockets too, which does not take
// the usual one's place.
func TestPortIsTold(t *testing.T) {
	var told []string
	note := func(what string) func(uint16) {
		return func(port uint16) { told = append(told, fmt.Sprint(what, port)) }
	}
	r := startEndpoint(t, Config{PrivateKey: protocol.NewPrivateKey(), Listens: note("+"), Leaves: note("-")})
	first := r.e.ListenPort()
	for _, port := range []uint16{first, 0} {
		if err := r.e.SetListenPort(port); err != nil {
			t.Fatal(err)
		}
	}
	second := r.e.ListenPort()
	s, err := r.e.openSpare(opening{spare: true})
	if err != nil {
		t.Fatal(err)
	}
	third := s.port()
	s.close()
	want := []string{fmt.Sprint("+", first), fmt.Sprint("+", second), fmt.Sprint("-", first), fmt.Sprint("+", third), fmt.Sprint("-", third)}
	if !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

func TestDeadPeer(t *testing.T) {
	t.Parallel()
	const dead = 5 * time.Second // a busy machine must not end the session before
	a, b := newPair(t, "127.0.0.1", dead)
	b.stop()
	ev := a.next(false)
	if took := time.Since(a.l.peer.Status(time.Now()).Spoke); took < dead {
		t.Errorf("noticed %v after the peer was heard last", took)
	}
	if !strings.Contains(ev.Reason, "nothing came from the peer") {
		t.Errorf("reason %q", ev.Reason)
	}
	if a.l.Status().State != tunnel.StateConnecting {
		t.Errorf("%+v", a.l.Status())
	}
	waitFor(t, func() bool { _, carrier := a.dev.Take(); return !carrier }, func() any { return "there is a carrier still" })
}

// Where only one direction is dead, both ends go down, the one that still hears the other
// too, and stay so until the other hears it again.
func TestOneWayLoss(t *testing.T) {
	const dead = 4 * time.Second // likewise
	for name, dialer := range map[string]bool{"of the dialing end": true, "of the other": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
			c := LinkConfig{Name: "a", PublicKey: keyA.Public(), Keepalive: 100 * time.Millisecond, DeadAfter: dead}
			b := startEnd(t, keyB, c)
			w := newWire(t, b.addr("127.0.0.1"))
			c.Name, c.PublicKey, c.Remotes = "b", keyB.Public(), []string{w.addr}
			a := startEnd(t, keyA, c)
			a.next(true)
			b.next(true)
			deaf, hearing, way := b, a, &w.toward
			if !dialer {
				deaf, hearing, way = a, b, &w.back
			}
			way.Store(true)
			deaf.next(false)
			if ev := hearing.next(false); !strings.Contains(ev.Reason, "nothing came from the peer") {
				t.Errorf("reason %q", ev.Reason)
			}
			time.Sleep(3 * dead) // in which the deaf end sends keepalives again
			if len(deaf.events)+len(hearing.events) > 0 {
				t.Errorf("%d and %d events though nothing gets from one to the other", len(deaf.events), len(hearing.events))
			}
			way.Store(false)
			deaf.next(true)
			hearing.next(true)
		})
	}
}

// A pair that stays up longer than dead_after although no packets flow: both ends send
// keepalives.
func TestIdlePairStaysUp(t *testing.T) {
	t.Parallel()
	const dead = 6 * time.Second // likewise
	a, b := newPair(t, "127.0.0.1", dead)
	select {
	case ev := <-a.events:
		t.Errorf("%+v", ev)
	case ev := <-b.events:
		t.Errorf("%+v", ev)
	case <-time.After(2 * dead):
	}
}

// The port of the end that waits for its peer may change: the other hears it from the
// new one, and follows. Packets to the old one are lost until then, and so are those of a session
// that a handshake of both ends at once has replaced.
func TestRoaming(t *testing.T) {
	a, b := newPair(t, "127.0.0.1", patience)
	old := b.e.ListenPort()
	if err := b.e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); a.l.Status().Remote.Port() != b.e.ListenPort(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("port %d became %d; %+v", old, b.e.ListenPort(), a.l.Status())
		}
	}
	a.reaches(b)
	b.reaches(a)
	if len(a.events)+len(b.events) > 0 {
		t.Error("the tunnel went down")
	}
}

// A link that is made anew, as a reload does, finds a peer that has the remote and would
// notice only after 15 s that its session is gone: it sends no keepalives, and nobody watches it.
func TestLinkMadeAnew(t *testing.T) {
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	c := LinkConfig{Name: "a", PublicKey: keyA.Public()}
	b := startEnd(t, keyB, c)
	a := startEnd(t, keyA, LinkConfig{Name: "b", PublicKey: keyB.Public(), Remotes: []string{b.addr("127.0.0.1")}})
	a.next(true)
	b.next(true)
	b.stop()
	at := time.Now()
	b = b.start(c)
	b.next(true)
	if took := time.Since(at); took > 13*time.Second { // most often 10 ms
		t.Errorf("up after %v", took)
	}
	a.reaches(b)
	if len(a.events) > 0 {
		t.Error("the other end went down")
	}
}

// One endpoint, many peers on one port: each gets its own packets.
func TestManyPeers(t *testing.T) {
	hub := startEndpoint(t, Config{PrivateKey: protocol.NewPrivateKey()})
	for i := range 10 {
		key := protocol.NewPrivateKey()
		near := hub.start(LinkConfig{Name: fmt.Sprint("peer", i), PublicKey: key.Public()})
		far := startEnd(t, key, LinkConfig{
			Name: "hub", PublicKey: hub.e.PublicKey(), Remotes: []string{hub.addr("127.0.0.1")},
		})
		far.next(true)
		f := frame(500, byte(i))
		far.dev.Frames <- f
		near.arrives(f)
	}
}

// Several links lead to one peer where one end has a key for each, and the other end one for
// all.
func TestLinksToOnePeer(t *testing.T) {
	near := startEndpoint(t, Config{PrivateKey: protocol.NewPrivateKey()})
	far := startEndpoint(t, Config{PrivateKey: protocol.NewPrivateKey()})
	var ends [][2]*end
	for i := range 2 {
		key := protocol.NewPrivateKey()
		a := near.start(LinkConfig{Name: fmt.Sprint("far", i), PublicKey: key.Public()})
		b := far.start(LinkConfig{Name: fmt.Sprint("near", i), PrivateKey: key, PublicKey: near.e.PublicKey(), Remotes: []string{near.addr("127.0.0.1")}})
		ends = append(ends, [2]*end{a, b})
	}
	for i, e := range ends {
		a, b := e[0].next(true), e[1].next(true)
		if a.Local != b.Peer || a.Peer != b.Local {
			t.Errorf("%d: %+v and %+v", i, a, b)
		}
		f := frame(500, byte(i))
		e[1].dev.Frames <- f
		e[0].arrives(f)
	}
}

func TestRemotesAreTriedInTurn(t *testing.T) {
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	b := startEnd(t, keyB, LinkConfig{Name: "a", PublicKey: keyA.Public()})
	// The first has nobody, and the second no address.
	a := startEnd(t, keyA, LinkConfig{Name: "b", PublicKey: keyB.Public(), Remotes: []string{
		"127.0.0.1:9", "nowhere.invalid:1", b.addr("127.0.0.1"),
	}})
	a.next(true)
	b.next(true)
}

func TestAddLinkRefuses(t *testing.T) {
	e := NewEndpoint(Config{PrivateKey: protocol.NewPrivateKey()})
	good := LinkConfig{Name: "x", PublicKey: protocol.NewPrivateKey().Public(), Device: flowtest.NewDevice("x")}
	if _, err := e.AddLink(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*LinkConfig){
		"no device":       func(c *LinkConfig) { c.Device = nil },
		"another peer":    func(c *LinkConfig) {},
		"own":             func(c *LinkConfig) { c.PublicKey = e.PublicKey() },
		"low order":       func(c *LinkConfig) { c.PublicKey = protocol.PublicKey{} },
		"nobody binds":    func(c *LinkConfig) { c.Underlay = "eth9" },
		"want host:port":  func(c *LinkConfig) { c.Remotes = []string{"host"} },
		"keepalive 1ms":   func(c *LinkConfig) { c.Keepalive = time.Millisecond },
		"a probe needs":   func(c *LinkConfig) { c.Keepalive, c.DeadAfter, c.Probe = time.Second, 3*time.Second, true },
		"at least 50ms":   func(c *LinkConfig) { c.Keepalive, c.DeadAfter = MinKeepalive, 49*time.Millisecond },
		"and dead_after":  func(c *LinkConfig) { c.Probe, c.PeerAddress = true, netip.IPv6LinkLocalAllNodes() },
		"dead_after 1s":   func(c *LinkConfig) { c.DeadAfter = time.Second },
		"dead_after 1.5s": func(c *LinkConfig) { c.Keepalive, c.DeadAfter = time.Second, 1500*time.Millisecond },
	} {
		c := good
		change(&c)
		if _, err := e.AddLink(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	good.PublicKey, good.Keepalive, good.DeadAfter = protocol.NewPrivateKey().Public(), MinKeepalive, MinDeadAfter
	if _, err := e.AddLink(good); err != nil {
		t.Errorf("the shortest times: %v", err)
	}
	if err := e.free.Send(flow.Single(nil), netip.AddrPort{}, netip.Addr{}); err == nil {
		t.Error("sent without a port")
	}
}
