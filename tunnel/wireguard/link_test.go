package wireguard

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
)

const patience = 40 * time.Second

// end is one router with one link.
type end struct {
	t      *testing.T
	e      *Endpoint
	l      *Link
	dev    *fakeDevice
	events chan tunnel.Event
	stop   func() // and wait
}

func startEnd(t *testing.T, key protocol.PrivateKey, c LinkConfig) *end {
	t.Helper()
	n := &end{t: t, e: NewEndpoint(Config{PrivateKey: key}), dev: newFakeDevice(c.Name), events: make(chan tunnel.Event, 16)}
	if err := n.e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	c.Device = n.dev
	c.Events = func(ev tunnel.Event) { n.events <- ev }
	var err error
	if n.l, err = n.e.AddLink(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- n.e.Run(ctx) }()
	go func() { done <- n.l.Run(ctx) }()
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(n.stop)
	return n
}

func (n *end) addr(host string) string { return fmt.Sprintf("%s:%d", host, n.e.ListenPort()) }

func (n *end) next(up bool) tunnel.Event {
	n.t.Helper()
	select {
	case ev := <-n.events:
		if ev.Up != up {
			n.t.Fatalf("event %+v", ev)
		}
		return ev
	case <-time.After(patience):
		n.t.Fatalf("nothing happened: %+v", n.l.Status())
		panic("unreachable")
	}
}

// newPair returns two ends that are up; a has the remote.
func newPair(t *testing.T, host string, dead time.Duration) (a, b *end) {
	t.Helper()
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: dead}
	c.Name, c.PublicKey = "a", keyA.Public()
	b = startEnd(t, keyB, c)
	c.Name, c.PublicKey, c.Remotes = "b", keyB.Public(), []string{b.addr(host)}
	a = startEnd(t, keyA, c)
	a.next(true)
	b.next(true)
	return a, b
}

// frame is an IPv4 UDP packet of n bytes behind an empty header.
func frame(n int, mark byte) []byte {
	f := make([]byte, tun.HeaderLen+n)
	p := f[tun.HeaderLen:]
	p[0], p[8], p[9], p[n-1] = 0x45, 64, 17, mark
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	return f
}

// arrives waits for frames to be written, and looks that they are the ones that are
// wanted.
func (n *end) arrives(want ...[]byte) {
	n.t.Helper()
	var got [][]byte
	for deadline := time.Now().Add(patience); len(got) < len(want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%d of %d frames arrived; %+v", len(got), len(want), n.l.Status())
		}
		more, _ := n.dev.take()
		got = append(got, more...)
	}
	for i := range got {
		if i >= len(want) || !bytes.Equal(got[i], want[i]) {
			n.t.Fatalf("frame %d of %d is another", i, len(got))
		}
	}
}

func TestPacketsBothWays(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
		t.Run(host, func(t *testing.T) {
			a, b := newPair(t, host, time.Second)
			for _, way := range [][2]*end{{a, b}, {b, a}} {
				var want [][]byte
				for i := range 50 {
					// All sizes, so that batches end in every way.
					f := frame([]int{28, 100, 1420, 1420, 1420, 700, 1500, 9000}[i%8], byte(i))
					want = append(want, f)
					way[0].dev.frames <- f
				}
				way[1].arrives(want...)
			}
			for _, n := range []*end{a, b} {
				s := n.l.Status()
				if s.State != tunnel.StateUp || s.Stats.RxPackets != 50 || s.Stats.TxPackets != 50 || s.Stats.Drops != 0 || !s.Remote.IsValid() {
					t.Errorf("%+v", s)
				}
				if _, carrier := n.dev.take(); !carrier {
					t.Error("no carrier")
				}
			}
		})
	}
}

func TestDeadPeer(t *testing.T) {
	a, b := newPair(t, "127.0.0.1", 500*time.Millisecond)
	at := time.Now()
	b.stop()
	ev := a.next(false)
	if took := time.Since(at); took < 300*time.Millisecond || took > 1500*time.Millisecond {
		t.Errorf("noticed after %v", took)
	}
	if !strings.Contains(ev.Reason, "nothing came from the peer") {
		t.Errorf("reason %q", ev.Reason)
	}
	if _, carrier := a.dev.take(); carrier || a.l.Status().State != tunnel.StateConnecting {
		t.Errorf("%+v", a.l.Status())
	}
}

// A pair that stays up longer than dead_after although no packets flow: both ends send
// keepalives.
func TestIdlePairStaysUp(t *testing.T) {
	a, b := newPair(t, "127.0.0.1", 300*time.Millisecond)
	select {
	case ev := <-a.events:
		t.Errorf("%+v", ev)
	case ev := <-b.events:
		t.Errorf("%+v", ev)
	case <-time.After(1500 * time.Millisecond):
	}
}

// The port of the end that waits for its peer may change: the other hears it from the
// new one, and follows.
func TestRoaming(t *testing.T) {
	a, b := newPair(t, "127.0.0.1", 2*time.Second)
	old := b.e.ListenPort()
	if err := b.e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); a.l.Status().Remote.Port() != b.e.ListenPort(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("port %d became %d; %+v", old, b.e.ListenPort(), a.l.Status())
		}
	}
	f := frame(100, 1)
	a.dev.frames <- f
	b.arrives(f)
	if len(a.events)+len(b.events) > 0 {
		t.Error("the tunnel went down")
	}
}

// One endpoint, many peers on one port: each gets its own packets.
func TestManyPeers(t *testing.T) {
	hub := NewEndpoint(Config{PrivateKey: protocol.NewPrivateKey()})
	if err := hub.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 32)
	go func() { done <- hub.Run(ctx) }()
	const peers = 10
	var devs [peers]*fakeDevice
	var far [peers]*end
	for i := range peers {
		key := protocol.NewPrivateKey()
		devs[i] = newFakeDevice(fmt.Sprint("peer", i))
		l, err := hub.AddLink(LinkConfig{Name: fmt.Sprint("peer", i), PublicKey: key.Public(), Device: devs[i]})
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- l.Run(ctx) }()
		far[i] = startEnd(t, key, LinkConfig{
			Name: "hub", PublicKey: hub.PublicKey(), Remotes: []string{fmt.Sprintf("127.0.0.1:%d", hub.ListenPort())},
		})
	}
	for i := range peers {
		far[i].next(true)
		f := frame(500, byte(i))
		far[i].dev.frames <- f
		n := &end{t: t, l: far[i].l, dev: devs[i]}
		n.arrives(f)
	}
	cancel()
	for range peers + 1 {
		if err := <-done; err != nil {
			t.Error(err)
		}
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
	good := LinkConfig{Name: "x", PublicKey: protocol.NewPrivateKey().Public(), Device: newFakeDevice("x")}
	if _, err := e.AddLink(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*LinkConfig){
		"no device":       func(c *LinkConfig) { c.Device = nil },
		"another peer":    func(c *LinkConfig) {},
		"own":             func(c *LinkConfig) { c.PublicKey = e.PublicKey() },
		"low order":       func(c *LinkConfig) { c.PublicKey = protocol.PublicKey{} },
		"want host:port":  func(c *LinkConfig) { c.Remotes = []string{"host"} },
		"keepalive 1ms":   func(c *LinkConfig) { c.Keepalive = time.Millisecond },
		"dead_after 1s":   func(c *LinkConfig) { c.DeadAfter = time.Second },
		"dead_after 1.5s": func(c *LinkConfig) { c.Keepalive, c.DeadAfter = time.Second, 1500*time.Millisecond },
	} {
		c := good
		change(&c)
		if _, err := e.AddLink(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := e.send(nil, 1, netip.AddrPort{}); err == nil {
		t.Error("sent without a port")
	}
}
