package auto

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"warren/tunnel"
)

// Where the router that TLS is connected to hears nothing over WireGuard, though that is up, WireGuard has found another router: it is
// told to look for the first, after a while, and after a longer one if that was in vain. Once it is heard the while is short again.
func TestTransportsRejoin(t *testing.T) {
	l := New(Config{Name: "b", Device: newFakeDevice(1)})
	wg := &fakeTransport{}
	l.Join(&fakeTransport{}, wg)
	now := time.Now()
	step := func(d time.Duration, want int) {
		t.Helper()
		now = now.Add(d)
		if l.keepTogether(now); wg.left != want {
			t.Errorf("%v later: told %d times, want %d", d, wg.left, want)
		}
	}
	f := &l.facts
	f.up, f.reports, f.hears = [2]bool{true, true}, true, true
	step(time.Hour, 0)
	f.hears = false
	step(0, 0)
	step(apartFor-1, 0)
	f.reports = false // a peer that says nothing
	step(time.Hour, 0)
	f.reports = true
	step(0, 0)
	step(apartFor, 1)
	step(time.Second, 1)
	step(apartFor, 1)
	step(apartFor, 2)
	f.up[WireGuard] = false
	step(time.Hour, 2)
	f.up[WireGuard] = true
	step(time.Second, 2)
	step(3*apartFor, 2)
	step(apartFor, 3)
	for range 10 { // not for ever longer
		step(0, wg.left)
		step(apartMost, wg.left+1)
	}
	f.hears = true
	step(time.Second, wg.left)
	f.hears = false
	step(0, wg.left)
	step(apartFor, wg.left+1)
}

// A WireGuard tunnel that is up at another address than the one that TLS is connected to, and is not heard there, is at another
// router: it goes where TLS is at once, each time.
func TestStrayWireGuardGoesToTLS(t *testing.T) {
	l := New(Config{Name: "b", Device: newFakeDevice(1), Dials: true})
	tls, wg := &fakeTransport{}, &fakeTransport{}
	l.Join(tls, wg)
	x, y := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("192.0.2.2:443")
	now := time.Now()
	wg.status.Remote, tls.status.Remote = x, y
	l.happened(now, WireGuard, tunnel.Event{Up: true})
	if !slices.Equal(tls.first, []netip.AddrPort{x}) || len(wg.joined) > 0 {
		t.Errorf("TLS is to begin at %v, WireGuard went to %v", tls.first, wg.joined)
	}
	l.happened(now, TLS, tunnel.Event{Up: true, Beside: true})
	if !slices.Equal(wg.joined, []netip.AddrPort{y}) {
		t.Errorf("WireGuard went to %v", wg.joined)
	}
	for i := range 10 {
		l.facts.hears = i%2 == 0 // two addresses of one router
		if l.keepTogether(now); wg.left != 0 {
			t.Fatal("left though it is heard")
		}
		now = now.Add(l.tick)
	}
	l.facts.hears = false
	for i := range 5 {
		l.keepTogether(now)
		now = now.Add(strayTicks * l.tick)
		if l.keepTogether(now); wg.left != i+1 {
			t.Errorf("left %d times after %d", wg.left, i+1)
		}
	}
	// The connections of TLS go to another address of its router, without a word.
	z := netip.MustParseAddrPort("[2001:db8::2]:443")
	tls.status.Remote = z
	l.keepTogether(now)
	l.happened(now, TLS, tunnel.Event{Reason: "silence"})
	l.happened(now, WireGuard, tunnel.Event{Reason: "silence"})
	if !slices.Equal(wg.joined, []netip.AddrPort{y, z, {}}) || !slices.Equal(tls.first, []netip.AddrPort{x, {}}) {
		t.Errorf("WireGuard went to %v, TLS is to begin at %v", wg.joined, tls.first)
	}
}

// Two addresses of both families may be those of one router, and an end that is dialed has one router at the other end, wherever that
// comes from.
func TestOtherRouter(t *testing.T) {
	for _, c := range []struct {
		dials         bool
		tls, wg       string
		astray, other bool
	}{
		{true, "192.0.2.1:443", "192.0.2.1:51820", false, false},
		{true, "192.0.2.1:443", "[::ffff:192.0.2.1]:443", false, false},
		{true, "192.0.2.1:443", "192.0.2.2:443", true, true},
		{true, "[2001:db8::1]:443", "[2001:db8::2]:443", true, true},
		{true, "[2001:db8::1]:443", "192.0.2.1:443", true, false},
		{true, "[::ffff:192.0.2.1]:443", "[2001:db8::1]:443", true, false},
		{false, "192.0.2.1:443", "192.0.2.2:443", false, false},
		{false, "192.0.2.1:443", "[2001:db8::1]:443", false, false},
	} {
		l := New(Config{Name: "b", Device: newFakeDevice(1), Dials: c.dials})
		tls, wg := &fakeTransport{}, &fakeTransport{}
		l.Join(tls, wg)
		tls.status.Remote, wg.status.Remote = netip.MustParseAddrPort(c.tls), netip.MustParseAddrPort(c.wg)
		l.facts.up = [2]bool{true, true}
		l.follow()
		if f := &l.facts; f.astray != c.astray || f.other != c.other || f.at != wg.status.Remote.Addr().Unmap() {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}
