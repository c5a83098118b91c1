package wireguard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

const patience = 40 * time.Second

// node is an endpoint at work.
type node struct {
	t testing.TB
	e *Endpoint
}

func startEndpoint(t testing.TB, c Config) *node {
	t.Helper()
	r := &node{t: t, e: NewEndpoint(c)}
	if err := r.e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	r.run(r.e.Run)
	return r
}

// run runs something until the test ends, or the function that it returns is called.
func (r *node) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

func (r *node) addr(host string) string { return fmt.Sprintf("%s:%d", host, r.e.ListenPort()) }

// end is one end of a link.
type end struct {
	*node
	l      *Link
	dev    *flowtest.Device
	events chan tunnel.Event
	stop   func() // and wait
}

// start adds and runs a link.
func (r *node) start(c LinkConfig) *end {
	r.t.Helper()
	n := r.prepare(c)
	n.stop = r.run(n.l.Run)
	return n
}

// prepare adds a link.
func (r *node) prepare(c LinkConfig) *end {
	r.t.Helper()
	// There is room for all events of a test, as a link waits until one is taken.
	n := &end{node: r, dev: flowtest.NewDevice(c.Name), events: make(chan tunnel.Event, 1024)}
	c.Device = n.dev
	c.Events = func(ev tunnel.Event) { n.events <- ev }
	var err error
	if n.l, err = r.e.AddLink(c); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// startEnd starts a router with one link.
func startEnd(t *testing.T, key protocol.PrivateKey, c LinkConfig) *end {
	t.Helper()
	return startEndpoint(t, Config{PrivateKey: key}).start(c)
}

func (n *end) next(up bool) tunnel.Event {
	n.t.Helper()
	return n.nextWithin(patience, up)
}

func (n *end) nextWithin(patience time.Duration, up bool) tunnel.Event {
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

// wire is a way between two ends of which either direction can be dead.
type wire struct {
	addr         string // where the one end sends to
	toward, back atomic.Bool
	longest      atomic.Int32 // datagram that passes, in bytes; 0: any does
	hollow       atomic.Bool  // nothing but handshakes passes
	stalled      atomic.Int32 // port of the one end from which nothing passes, nor to it; 0: none
}

func (w *wire) loses(n int, dead *atomic.Bool) bool {
	const initiation, response = 148, 92 // bytes
	if w.hollow.Load() && n != initiation && n != response {
		return true
	}
	longest := int(w.longest.Load())
	return dead.Load() || longest > 0 && n > longest
}

// newWire leads to an address.
func newWire(t *testing.T, to string) *wire {
	t.Helper()
	near, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	w := &wire{addr: near.LocalAddr().String()}
	var from atomic.Value // net.Addr
	go func() {
		for b := make([]byte, 1<<16); ; {
			n, addr, err := near.ReadFrom(b)
			if err != nil {
				return
			}
			if port := addr.(*net.UDPAddr).Port; port == int(w.stalled.Load()) {
				continue
			}
			from.Store(addr)
			if !w.loses(n, &w.toward) {
				far.Write(b[:n])
			}
		}
	}()
	go func() {
		for b := make([]byte, 1<<16); ; {
			n, err := far.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			addr, _ := from.Load().(*net.UDPAddr)
			if err == nil && addr != nil && addr.Port != int(w.stalled.Load()) && !w.loses(n, &w.back) {
				near.WriteTo(b[:n], addr)
			}
		}
	}()
	return w
}

// frame is an IPv4 UDP packet of n bytes behind an empty header.
func frame(n int, mark byte) []byte { return flowtest.UDP(n, mark) }

// arrives waits for frames to be written, and looks that they are the ones that are
// wanted.
func (n *end) arrives(want ...[]byte) {
	n.t.Helper()
	var got [][]byte
	for deadline := time.Now().Add(patience); len(got) < len(want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%d of %d frames arrived; %+v", len(got), len(want), n.l.Status())
		}
		more, _ := n.dev.Take()
		got = append(got, more...)
	}
	for i := range got {
		if i >= len(want) || !bytes.Equal(got[i], want[i]) {
			n.t.Fatalf("frame %d of %d is another", i, len(got))
		}
	}
}

// reaches sends frames until one arrives. The peer of who began a handshake sends with the
// session before until it has heard something of the new one.
func (n *end) reaches(other *end) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		n.dev.Frames <- frame(100, 1)
		if got, _ := other.dev.Take(); len(got) > 0 {
			return
		}
	}
	n.t.Fatalf("no frame arrived; %+v", other.l.Status())
}
