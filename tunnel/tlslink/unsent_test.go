package tlslink

import (
	"crypto/tls"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The bound is a time at any rate between two bounds in bytes.
func TestUnsentBound(t *testing.T) {
	for _, c := range []struct {
		before int
		rate   uint64 // Mbit/s
		want   int
	}{
		{firstUnsent, 0, firstUnsent},
		{firstUnsent, 200, 200e6 / 8 * 8 / 1000},
		{firstUnsent, 10_000, maxUnsent},
		{minUnsent, 10_000, maxUnsent},
		{minUnsent, 1 << 40, maxUnsent},
		{maxUnsent, 1, maxUnsent / 2}, // one slow moment
		{2 * minUnsent, 1, minUnsent},
		{minUnsent, 1, minUnsent},
		{16 << 10, 10, 10_000}, // less than a full record
		{10_000, 4, 5000},
		{10_000, 6, 6000},
		{minUnsent, 100, 100_000},
	} {
		if got := unsentBound(c.before, c.rate*1e6/8); got != c.want {
			t.Errorf("%d, then %d Mbit/s: %d, want %d", c.before, c.rate, got, c.want)
		}
	}
}

// A connection that takes the place of another, or comes beside it, begins with the bound that the path has shown to be right.
func TestNewLaneTakesOverTheBound(t *testing.T) {
	const before, first = 9000, 7000
	for name, c := range map[string]struct {
		lost  bool // the one that is replaced
		begin func(l *Link, ln, old *lane)
		want  int
	}{
		"renewed, dialing end":   {false, func(l *Link, ln, _ *lane) { l.renewed(ln, false) }, before},
		"renewed, listening end": {false, func(l *Link, ln, old *lane) { l.joins(ln, old) }, before},
		"rescued":                {true, func(l *Link, ln, _ *lane) { l.renewed(ln, false) }, before},
		"further lane": {true, func(l *Link, ln, _ *lane) {
			l.session.lanes[1] = nil
			l.addLane(ln)
		}, first},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := stillLink(t)
			here, _ := tcpPair(t)
			w := newWire(here)
			ln := newLane(s, 1, tls.Server(w, &tls.Config{}), w) // which says nothing before the other end does
			old := newLane(s, 1, nil, newWire(nil))
			s.lanes[0].wire, s.lanes[1] = newWire(nil), old
			s.lanes[0].wire.unsent.Store(first)
			old.wire.unsent.Store(before)
			old.wire.rate = 1e6
			old.lost.Store(c.lost)
			c.begin(l, ln, old)
			defer s.readers.Wait()
			defer s.fail(errMoved)
			defer here.Close()
			if n := lowat(w); n != c.want {
				t.Errorf("%d in the socket, want %d", n, c.want)
			}
			ln.pace.blocked.Store(true) // as if it had been waited for, before anything was delivered
			ln.followPace(0)
			if n := lowat(w); n != c.want {
				t.Errorf("%d in the socket after a wait, want %d", n, c.want)
			}
		})
	}
}

// Looks come each second or so whatever a keepalive is.
func TestLooksComeEachSecond(t *testing.T) {
	const ms = time.Millisecond
	for keepalive, want := range map[time.Duration]time.Duration{
		20 * ms: 100 * ms, 30 * ms: 120 * ms, 60 * ms: 120 * ms, 100 * ms: 100 * ms, 700 * ms: 700 * ms,
		time.Second: time.Second, 1001 * ms: time.Second, 30 * time.Second: time.Second, time.Minute: time.Second,
	} {
		l := &Link{cfg: LinkConfig{Keepalive: keepalive}}
		if got := l.lookEvery(); got != want {
			t.Errorf("keepalive %v: %v, want %v", keepalive, got, want)
		}
	}
}

// A look that finds nothing moved does nothing until a keepalive has passed.
func TestIdleTunnelsLookOnceAKeepalive(t *testing.T) {
	l, s := stillLink(t)
	l.cfg.Keepalive = time.Minute
	s.looked, s.load = 1000*time.Second, l.load()
	for _, c := range []struct {
		what string
		do   func()
		at   time.Duration
		want bool
	}{
		{"nothing", func() {}, 1001 * time.Second, true},
		{"a keepalive", func() {}, 1060 * time.Second, false},
		{"a packet that waits for the path", func() { s.lanes[1].queues.Add(1) }, 1001 * time.Second, false},
		{"it was sent", func() { s.lanes[1].queues.Add(-1) }, 1001 * time.Second, true},
		{"traffic", func() { l.counters.RxBytes.Add(1) }, 1001 * time.Second, false},
		{"a short keepalive", func() { s.load, l.cfg.Keepalive = l.load(), 20*time.Millisecond }, 1000 * time.Second, false},
	} {
		if c.do(); l.isResting(c.at) != c.want {
			t.Errorf("%s: rests: %v", c.what, !c.want)
		}
	}
}

// lowat is the bound as the kernel has it.
func lowat(w *wire) (n int) {
	_ = setsockopt(w.raw, func(fd int) (err error) {
		n, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
		return err
	})
	return n
}

// Connections at work have the bound that their rate asks for, at both ends.
func TestUnsentIsBoundByRate(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	b.waitEvents(1)
	a.waitEvents(1)
	b.dev.mu.Lock()
	b.dev.keep = false
	b.dev.mu.Unlock()
	w := a.link.routes[0].Load().wire
	if got := lowat(w); got != firstUnsent && got < minUnsent {
		t.Errorf("%d at first, want %d", got, firstUnsent)
	}
	stop := make(chan struct{})
	defer close(stop)
	go flood(a, 0, stop)
	poll(t, func() bool { return lowat(w) != firstUnsent }, func() string { return "the bound stays as it was at first" })
	if got := lowat(w); got < minUnsent || got > maxUnsent {
		t.Errorf("%d, want %d to %d", got, minUnsent, maxUnsent)
	}
}
