package tlslink

import (
	"testing"

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
		{minUnsent, 100, 100_000},
	} {
		if got := unsentBound(c.before, c.rate*1e6/8); got != c.want {
			t.Errorf("%d, then %d Mbit/s: %d, want %d", c.before, c.rate, got, c.want)
		}
	}
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
	lowat := func(w *wire) (n int) {
		_ = setsockopt(w.raw, func(fd int) (err error) {
			n, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
			return err
		})
		return n
	}
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
