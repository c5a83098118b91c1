package tlslink

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"warren/tunnel"
)

// secretPair returns two ends that share a secret and are not started.
func secretPair(t *testing.T) (a, b *end) {
	t.Helper()
	return newEnd(t, Config{Identity: tunnel.Identity{1}}, "a"), newEnd(t, Config{Identity: tunnel.Identity{2}}, "b")
}

func TestEveryWayOfTrustCarriesPackets(t *testing.T) {
	ca := newAuthority(t)
	certA := ca.issue(t, &x509.Certificate{DNSNames: []string{"a"}})
	certB := ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "b"}})
	for name, c := range map[string]struct {
		a, b   Config
		aTrust Trust // of a's peer, which is b
		bTrust Trust
	}{
		"fingerprint": {Config{Certificate: certA}, Config{Certificate: certB}, pin(certB), pin(certA)},
		"ca":          {Config{Certificate: certA}, Config{Certificate: certB}, Trust{CA: ca.pool, PeerName: "b"}, Trust{CA: ca.pool, PeerName: "a"}},
		"secret":      {Config{Identity: tunnel.Identity{1}}, Config{Identity: tunnel.Identity{2}}, secretTrust(0), secretTrust(0)},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newEnd(t, c.a, "a"), newEnd(t, c.b, "b")
			b.start(c.bTrust)
			a.start(c.aTrust, b.addr())
			evA, evB := a.waitEvents(1)[0], b.waitEvents(1)[0]
			if !evA.Up || !evB.Up || evA.Local != evB.Peer || evA.Peer != evB.Local || evA.Local == evA.Peer {
				t.Fatalf("events %+v and %+v: want both up, with each other's identity", evA, evB)
			}
			exchangePackets(t, a, b)
			if st := a.link.Status(); st.State != tunnel.StateUp || st.LastError != "" || st.Remote.String() != b.addr() {
				t.Fatalf("status %+v", st)
			}
		})
	}
}

// mortalPair is secretPair with ends that take a peer for dead after shortLife.
func mortalPair(t *testing.T) (a, b *end) {
	t.Helper()
	a, b = secretPair(t)
	a.cfg.DeadAfter, b.cfg.DeadAfter = shortLife, shortLife
	return a, b
}

// exchangePackets sends some of all sizes both ways, on every queue.
func exchangePackets(t *testing.T, a, b *end) {
	t.Helper()
	for _, way := range [][2]*end{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		before, _, _ := to.dev.snapshot()
		var want [][]byte
		for i, size := range []int{29, 1500, 16384, 65535, 100} {
			f := marked(packet(size, byte(i)))
			want = append(want, f)
			from.dev.queues[0] <- f
		}
		got := to.waitWritten(len(before) + len(want))[len(before):]
		for i := range want {
			if !bytes.Equal(unmarked(got[i]), want[i]) {
				t.Fatalf("packet %d from %s arrived changed or out of order", i, from.cfg.Name)
			}
		}
		from.dev.queues[1] <- marked(packet(64))
		to.waitWritten(len(before) + len(want) + 1)
	}
}

// The far end hears of a session each keepalive from the moment at which it has begun there, though here it waits for the kernel.
func TestPeerHearsWhileTheKernelIsWaitedFor(t *testing.T) {
	a, b := secretPair(t)
	a.cfg.Keepalive, a.cfg.DeadAfter = MinKeepalive, MaxDeadAfter
	b.cfg.Keepalive, b.cfg.DeadAfter = MaxDeadAfter/2, MaxDeadAfter // so that there is nothing to answer
	locked := make(chan struct{})
	release := sync.OnceFunc(func() { close(locked) })
	defer release()
	a.prepare = func(d *fakeDevice) { d.onOffload = func() { <-locked } }
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	b.waitEvents(1)
	heard := b.link.routes[0].Load()
	poll(t, func() bool { return heard.wire.arrived.n.Load() >= 5 }, func() string { return "nothing comes" })
	if evs := a.seen(); len(evs) != 0 {
		t.Errorf("events %+v", evs)
	}
	release()
	a.waitEvents(1)
	exchangePackets(t, a, b)
}

func TestCarrierFollowsSession(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	b.halt(errors.New("maintenance"))
	evs := a.waitEvents(2)
	if evs[1].Up || evs[1].Reason != "peer closed the tunnel: maintenance" {
		t.Fatalf("event %+v: want down and what the peer said", evs[1])
	}
	if _, carrier, _ := a.dev.snapshot(); !slices.Equal(carrier, []bool{true, false}) {
		t.Fatalf("carrier changes %v: want up, down", carrier)
	}
	b.start(secretTrust(0))
	a.waitEvents(3)
	b.waitEvents(3)
	exchangePackets(t, a, b)
}

func TestOffloadIsWhatBothHave(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	b.dev.offload = 0
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	a.dev.mu.Lock()
	defer a.dev.mu.Unlock()
	if a.dev.accepted != 0 {
		t.Fatalf("offload %v towards a peer that has none", a.dev.accepted)
	}
}

// Both ends dial and listen, and begin at the same moment: each must come up once
// and stay.
func TestSimultaneousDialsSettle(t *testing.T) {
	for i := range 40 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			a, b := secretPair(t)
			a.start(secretTrust(0), b.addr())
			b.start(secretTrust(0), a.addr())
			a.waitEvents(1)
			b.waitEvents(1)
			exchangePackets(t, a, b)
			// Whatever still is under way has failed or been refused by then.
			poll(t, func() bool { return a.link.Status().RTT > 0 && b.link.Status().RTT > 0 }, func() string { return "no round trip" })
			exchangePackets(t, a, b)
			if ea, eb := a.seen(), b.seen(); len(ea) != 1 || len(eb) != 1 {
				t.Fatalf("the tunnel flapped: %+v, %+v", ea, eb)
			}
		})
	}
}

// A router that dies without a word and comes back must not wait for dead_after.
func TestRestartedPeerReplacesItsSession(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr())
	b.waitEvents(1)
	a.waitEvents(1)
	via.freeze() // as a machine that lost its power
	again := newEnd(t, Config{Identity: tunnel.Identity{1}}, "a")
	again.start(secretTrust(0), b.addr())
	evs := b.waitEvents(3)
	if evs[1].Up || evs[1].Reason != "the peer was restarted" || !evs[2].Up {
		t.Fatalf("events %+v: want down because of the restart, then up", evs[1:])
	}
	again.waitEvents(1)
	exchangePackets(t, again, b)
}

// Two machines may have keys of their own, and certificates for one name: other keys would not help.
func TestTwoMachinesWithOneName(t *testing.T) {
	ca := newAuthority(t)
	named := func(name string) *end {
		return newEnd(t, Config{Certificate: ca.issue(t, &x509.Certificate{DNSNames: []string{name}})}, "far")
	}
	trust := func(name string) Trust { return Trust{CA: ca.pool, PeerName: name} }
	hub, first, second := named("hub"), named("spoke"), named("spoke")
	hub.start(trust("spoke"))
	first.start(trust("hub"), hub.addr())
	hub.waitEvents(1)
	second.start(trust("hub"), hub.addr())
	hub.waitError(`somebody else has a certificate for "spoke" too, at 127.0.0.1`)
	first.waitError(`another router with a certificate for "spoke" is connected: give each router a certificate for a name of its own`)
}

// Two machines with the same keys do not replace each other for ever: the one that was
// replaced is refused while the other is connected, and status at both ends says why.
func TestTwoMachinesWithOneKey(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	b.waitEvents(1)
	copied := newEnd(t, Config{Identity: tunnel.Identity{1}}, "copy")
	copied.start(secretTrust(0), b.addr())
	b.waitError("somebody else has this peer's key, at 127.0.0.1")
	a.waitError("another router with this router's keys is connected")
	if evs := b.seen(); len(evs) != 3 || b.link.Status().State != tunnel.StateUp {
		t.Errorf("events %+v", evs)
	}
	exchangePackets(t, copied, b)

	// When the copy is gone, the first is let in, and nothing is said any more.
	copied.halt(nil)
	b.waitEvents(5)
	poll(t, func() bool { return a.link.Status().State == tunnel.StateUp && b.link.Status().LastError == "" },
		func() string { return "the first is not let in again: " + a.link.Status().LastError })
}

// An end that has given up on a session dials again; the other may still believe.
func TestNewSessionReplacesOneThatThePeerEnded(t *testing.T) {
	a, b := secretPair(t)
	a.cfg.DeadAfter = shortLife
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr(), b.addr())
	b.waitEvents(1)
	a.waitEvents(1)
	via.freeze()
	evs := b.waitEvents(3)
	if evs[1].Up || evs[1].Reason != "the peer began a new session" || !evs[2].Up {
		t.Fatalf("events %+v", evs[1:])
	}
	if evs := a.waitEvents(3); evs[1].Reason != "no sign of life from the peer for 3s" {
		t.Fatalf("events %+v", evs[1:])
	}
}

func TestSilentPeerIsDead(t *testing.T) {
	a, b := mortalPair(t)
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	began := time.Now()
	via.freeze()
	for _, e := range []*end{a, b} {
		evs := e.waitEvents(2)
		if evs[1].Up || evs[1].Reason != "no sign of life from the peer for 3s" {
			t.Fatalf("%s: event %+v", e.cfg.Name, evs[1])
		}
		// What it has heard last may have come before the path was cut, and the more so on a busy machine.
		if took := evs[1].Time.Sub(began); took < shortLife/3 {
			t.Fatalf("%s: noticed after %v, want %v", e.cfg.Name, took, shortLife)
		}
	}
}

// A dead path that data is being written into must be noticed just the same.
func TestSilentPeerIsDeadWhileSending(t *testing.T) {
	a, b := mortalPair(t)
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr())
	a.waitEvents(1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for f := packet(65535); ; {
			select {
			case a.dev.queues[0] <- f:
			case <-stop:
				return
			}
		}
	}()
	b.waitWritten(20)
	via.freeze()
	a.waitEvents(2)
	b.waitEvents(2)
}

func TestSlowPathIsAlive(t *testing.T) {
	a, b := mortalPair(t)
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr())
	a.waitEvents(1)
	via.throttle(20 << 10) // 64 KiB take longer than dead_after
	a.dev.queues[0] <- packet(65535)
	a.dev.queues[0] <- packet(65535)
	b.waitWritten(2)
	if len(a.seen()) != 1 || len(b.seen()) != 1 {
		t.Fatalf("a frame on its way is a sign of life: %+v, %+v", a.seen(), b.seen())
	}
}
