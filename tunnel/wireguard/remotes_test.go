package wireguard

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// fleet is servers that have one key, each behind a wire, and a client of theirs.
type fleet struct {
	t       *testing.T
	client  *node
	cfg     LinkConfig // of the client's link
	servers []*end
	wires   []*wire
}

// newFleet has so many wires, to as many servers or all to one.
func newFleet(t *testing.T, wires, servers int) *fleet {
	t.Helper()
	return newFleetWith(t, wires, servers, time.Second)
}

// newFleetWith says dead_after of all too. The keepalive is a tenth of it: after twice that a handshake is begun with a peer that
// is silent, as one may seem to be on a busy machine.
func newFleetWith(t *testing.T, wires, servers int, dead time.Duration) *fleet {
	t.Helper()
	near, far := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	f := &fleet{t: t, client: startEndpoint(t, Config{PrivateKey: near})}
	f.cfg = LinkConfig{Name: "server", PublicKey: far.Public(), Keepalive: dead / 10, DeadAfter: dead}
	c := f.cfg
	c.Name, c.PublicKey = "client", near.Public()
	one, two := netip.MustParseAddr("fd00::"), netip.MustParseAddr("fd00::1")
	f.cfg.LocalAddress, f.cfg.PeerAddress, c.LocalAddress, c.PeerAddress = one, two, two, one
	for range servers {
		f.servers = append(f.servers, startEnd(t, far, c))
	}
	for i := range wires {
		f.wires = append(f.wires, newWire(t, f.servers[i%servers].addr("127.0.0.1")))
		f.cfg.Remotes = append(f.cfg.Remotes, f.wires[i].addr)
	}
	return f
}

// waitAt waits until the client's peer is at a wire.
func (f *fleet) waitAt(a *end, i int) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); a.l.Status().Remote.String() != f.wires[i].addr; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("the peer is not at remote %d, %s: %+v", i, f.wires[i].addr, a.l.Status())
		}
	}
}

// passes waits for a packet that was sent once.
func (n *end) passes(other *end) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got, _ := other.dev.Take(); len(got) > 0 {
			return
		}
	}
	n.t.Fatalf("a packet was lost: %+v", n.l.Status())
}

// A server that is gone, or that is not reached while it goes on with handshakes, is left for the
// next, and what it sends does not draw the tunnel back.
func TestServerIsLeft(t *testing.T) {
	for name, breaks := range map[string]func(*fleet){
		"killed": func(f *fleet) { f.servers[0].stop() },
		"there":  func(f *fleet) { f.wires[0].toward.Store(true) },
		"back":   func(f *fleet) { f.wires[0].back.Store(true) },
		"both":   func(f *fleet) { f.wires[0].toward.Store(true); f.wires[0].back.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleetWith(t, 2, 2, 5*time.Second) // a busy machine must not end a session
			a := f.client.start(f.cfg)
			if ev := a.next(true); ev.Remote.String() != f.wires[0].addr {
				t.Fatalf("%+v", ev)
			}
			f.servers[0].next(true)
			breaks(f)
			a.next(false)
			if ev := a.next(true); ev.Remote.String() != f.wires[1].addr {
				t.Errorf("%+v", ev)
			}
			f.servers[1].next(true)
			a.reaches(f.servers[1])
			f.servers[1].reaches(a)
			select {
			case ev := <-a.events:
				t.Errorf("%+v", ev)
			case <-time.After(7 * time.Second): // in which the other begins a handshake again
			}
			f.waitAt(a, 1)
		})
	}
}

// Servers that answer handshakes and carry nothing are left for one that does, and where there is none
// they are not tried without a pause.
func TestServerCarriesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, 3)
	f.wires[0].hollow.Store(true)
	f.wires[1].hollow.Store(true)
	a := f.client.start(f.cfg)
	f.waitAt(a, 2)
	f.servers[2].next(true)
	a.reaches(f.servers[2])
	f.wires[2].hollow.Store(true)
	ups := 0
	for over := time.After(10 * time.Second); ; {
		select {
		case ev := <-a.events:
			if ev.Up {
				ups++
			}
			continue
		case <-over:
		}
		break
	}
	if ups > 8 { // without a pause, more than ten
		t.Errorf("up %d times", ups)
	}
	f.wires[1].hollow.Store(false)
	f.waitAt(a, 1)
	a.reaches(f.servers[1])
}

// All addresses of a name are tried at once, and the next remote after connect_timeout. If all
// were of no use they are tried again.
func TestAddressesOfANameAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleetWith(t, 3, 1, 5*time.Second) // a busy machine must not end a session
	at := func(i int) netip.AddrPort { return netip.MustParseAddrPort(f.wires[i].addr) }
	f.wires[0].toward.Store(true)
	f.wires[2].toward.Store(true)
	f.cfg.Remotes = []string{"unknown:1", f.wires[2].addr, "both:1"}
	f.cfg.ConnectTimeout = time.Second // which a handshake on a busy machine may take
	a := f.client.prepare(f.cfg)
	a.l.resolve = func(_ context.Context, _, name string) ([]netip.AddrPort, error) {
		switch name {
		case "both:1":
			return []netip.AddrPort{at(0), at(1)}, nil
		case "unknown:1":
			return nil, errors.New("no such name")
		}
		return []netip.AddrPort{netip.MustParseAddrPort(name)}, nil
	}
	f.client.run(a.l.Run)
	f.servers[0].next(true)
	f.wires[1].toward.Store(true)
	f.servers[0].next(false)
	f.wires[2].toward.Store(false)
	f.servers[0].next(true)
	if got := a.l.Status().Remote; got.IsValid() && got != at(2) {
		t.Errorf("it is at %v", got)
	}
}

// The first remote takes over when it is there again. Where it is another address of the same router
// nothing goes down and no packet is lost.
func TestReturnToFirst(t *testing.T) {
	for name, servers := range map[string]int{"same router": 1, "another": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleetWith(t, 2, servers, 10*time.Second)
			f.wires[0].toward.Store(true)
			f.cfg.ReturnToFirst, f.cfg.ConnectTimeout = true, time.Second
			n := f.client.prepare(f.cfg)
			n.l.back.every, n.l.back.proof = time.Second, 2*time.Second
			n.stop = f.client.run(n.l.Run)
			n.next(true)
			f.waitAt(n, 1)
			f.servers[servers-1].next(true)
			n.reaches(f.servers[servers-1])
			last := f.servers[servers-1]
			f.wires[0].toward.Store(false)
			if servers > 1 {
				f.waitAt(n, 0)
				f.servers[0].next(true)
				n.reaches(f.servers[0])
				f.servers[0].reaches(n)
				last.next(false) // nobody speaks to it any more
				f.waitAt(n, 0)
				return
			}
			last.dev.Take()
			deadline := time.Now().Add(patience)
			for after := 0; after < 50; { // one at a time: the test's way drops what is too much for it
				if time.Now().After(deadline) {
					t.Fatalf("the first remote has not taken over: %+v", n.l.Status())
				}
				if n.l.Status().Remote.String() == f.wires[0].addr {
					after++
				}
				n.dev.Frames <- frame(100, 1)
				n.passes(last)
			}
			if len(n.events)+len(last.events) > 0 {
				t.Error("the tunnel went down")
			}
		})
	}
}

// In random order not always the same server is the first.
func TestRandomOrder(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, 2)
	f.cfg.RandomOrder = true
	found := make(map[string]bool)
	for i := 0; len(found) < 2; i++ {
		if i == 60 { // the chance of that is 2^-59
			t.Fatalf("only %v was taken", found)
		}
		c := f.cfg
		c.Name = strings.Repeat("x", 1+i%3)
		a := f.client.start(c)
		found[a.next(true).Remote.String()] = true
		a.stop()
	}
}

// A server is left when that is asked for, if there is another one. (What it goes on to send is cut off: TestServerIsLeft is about that.)
func TestLeaveIsAsked(t *testing.T) {
	t.Parallel()
	f := newFleetWith(t, 2, 2, 10*time.Second)
	a := f.client.start(f.cfg)
	f.waitAt(a, 0)
	f.servers[0].next(true)
	a.next(true)
	f.wires[0].back.Store(true)
	a.l.Leave()
	if ev := a.next(false); ev.Reason != errElsewhere.Error() {
		t.Errorf("reason %q", ev.Reason)
	}
	if ev := a.next(true); ev.Remote.String() != f.wires[1].addr {
		t.Errorf("%+v", ev)
	}
	a.reaches(f.servers[1])
	f.servers[1].reaches(a)

	alone := newFleetWith(t, 1, 1, 10*time.Second)
	b := alone.client.start(alone.cfg)
	b.next(true)
	b.l.Leave()
	b.reaches(alone.servers[0])
	if len(b.events) > 0 {
		t.Errorf("%+v though there is no other place", <-b.events)
	}
}
