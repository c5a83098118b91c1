package auto

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"warren/tunnel"
)

// fakeTransport is one that does what a test says.
type fakeTransport struct {
	side   *Side
	failed chan error

	mu         sync.Mutex
	status     tunnel.Status
	received   tunnel.Received
	told       []tunnel.Received
	keepalives int
	measured   int
	trip       time.Duration
	woken      bool
	left       int
	joined     []netip.AddrPort
	first      []netip.AddrPort
	named      map[string][2]tunnel.Identity
}

func (f *fakeTransport) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case err = <-f.failed:
	}
	return errors.Join(err, f.side.Close())
}

func (f *fakeTransport) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fakeTransport) Status() (s tunnel.Status) { f.locked(func() { s = f.status }); return s }
func (f *fakeTransport) Leave()                    { f.locked(func() { f.left++ }) }
func (f *fakeTransport) Join(at netip.AddrPort)    { f.locked(func() { f.joined = append(f.joined, at) }) }
func (f *fakeTransport) TryFirst(at netip.AddrPort) {
	f.locked(func() { f.first = append(f.first, at) })
}
func (f *fakeTransport) Named(key string) (local, peer tunnel.Identity, ok bool) {
	ends, ok := f.named[key]
	return ends[0], ends[1], ok
}
func (f *fakeTransport) Wake()                  { f.locked(func() { f.woken = true }) }
func (f *fakeTransport) Tell(r tunnel.Received) { f.locked(func() { f.told = append(f.told, r) }) }
func (f *fakeTransport) Measure()               { f.locked(func() { f.measured++ }) }
func (f *fakeTransport) SendKeepalive() error   { f.locked(func() { f.keepalives++ }); return nil }
func (f *fakeTransport) RoundTrip() (r time.Duration) {
	f.locked(func() { r = f.trip })
	return r
}
func (f *fakeTransport) Received() (r tunnel.Received) {
	f.locked(func() { r = f.received })
	return r
}

// tester is a link with two such transports.
type tester struct {
	*Link
	t       *testing.T
	dev     *fakeDevice
	tls, wg *fakeTransport
	stop    context.CancelFunc
	ended   chan error

	mu      sync.Mutex
	events  []tunnel.Event
	moves   []string
	offered [][]netip.Addr
}

var (
	tlsLocal, tlsPeer = tunnel.Identity{1}, tunnel.Identity{2}
	wgLocal, wgPeer   = tunnel.Identity{3}, tunnel.Identity{4}
)

func start(t *testing.T, resume *Handover) *tester { return startWith(t, resume, func(*tester) {}) }

// startWith does something before Run, as a transport does that goes on.
func startWith(t *testing.T, resume *Handover, before func(*tester)) *tester {
	l := &tester{t: t, dev: newFakeDevice(1), ended: make(chan error, 1)}
	locked := func(do func()) {
		l.mu.Lock()
		defer l.mu.Unlock()
		do()
	}
	l.Link = New(Config{
		Name: "b", Device: l.dev, Resume: resume,
		Events:  func(ev tunnel.Event) { locked(func() { l.events = append(l.events, ev) }) },
		Moved:   func(to Transport, why string) { locked(func() { l.moves = append(l.moves, to.String()+": "+why) }) },
		Offered: func(a []netip.Addr) { locked(func() { l.offered = append(l.offered, a) }) },
	})
	l.tls = &fakeTransport{side: l.Side(TLS), failed: make(chan error, 1)}
	l.wg = &fakeTransport{side: l.Side(WireGuard), failed: make(chan error, 1)}
	l.wg.status.Local, l.wg.status.Peer = wgLocal, wgPeer
	l.Join(l.tls, l.wg)
	before(l)
	var ctx context.Context
	ctx, l.stop = context.WithCancel(t.Context())
	go func() { l.ended <- l.Run(ctx) }()
	return l
}

func (l *tester) tlsUp(beside bool) {
	l.tls.locked(func() { l.tls.status.State, l.tls.status.Local, l.tls.status.Peer = tunnel.StateUp, tlsLocal, tlsPeer })
	l.Event(TLS)(tunnel.Event{Up: true, Time: time.Now(), Local: tlsLocal, Peer: tlsPeer, Beside: beside})
}

func (l *tester) wgUp() {
	l.wg.locked(func() { l.wg.status.State = tunnel.StateUp })
	l.Event(WireGuard)(tunnel.Event{Up: true, Time: time.Now(), Local: wgLocal, Peer: wgPeer})
}

func (l *tester) down(of Transport, why string) {
	l.Event(of)(tunnel.Event{Time: time.Now(), Reason: why})
}

// until waits until something is so, of what the link's callbacks have told.
func (l *tester) until(what string, ok func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		is := ok()
		l.mu.Unlock()
		if is {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not so: events %+v, moves %v, offered %v, status %+v", what, l.events, l.moves, l.offered, l.Status())
		}
	}
}

func (l *tester) carriedBy(t Transport) {
	l.t.Helper()
	l.until("carried by "+t.String(), func() bool { return l.shared.turn.Load().of == t && l.Status().Ways[t].Carries })
}

func (l *tester) end() {
	l.t.Helper()
	l.stop()
	if err := <-l.ended; err != nil {
		l.t.Fatal(err)
	}
}
