package kernelwg

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// with changes the fake while others use it.
func (k *kernel) with(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// Where the liveness asks more rarely than an attempt takes, the peer is asked when a handshake was completed.
func TestPeerIsAskedAfterAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{answers: []netip.AddrPort{at("192.0.2.1:51820")}}
		l := start(t, k, "192.0.2.1:51820", "192.0.2.2:51820")
		k.with(func() { k.answer = func() { l.SetUp(true) } })
		time.Sleep(time.Minute)
		synctest.Wait()
		if tried := k.takeTried(); !slices.Equal(tried, k.answers) || l.Error() != "" {
			t.Errorf("tried %v, %q", tried, l.Error())
		}
	})
}

// An echo may get lost, so that one is not enough.
func TestPeerIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{answers: []netip.AddrPort{at("192.0.2.1:51820")}}
		l := start(t, k, "192.0.2.1:51820")
		k.with(func() {
			k.answer = func() {
				k.with(func() {
					if k.asked > 3 {
						l.SetUp(true)
					}
				})
			}
		})
		time.Sleep(takesAtMost)
		synctest.Wait()
		if tried := k.takeTried(); len(tried) != 1 || l.Error() != "" {
			t.Errorf("tried %v, %q", tried, l.Error())
		}
	})
}

// An end without remotes has the peer asked too, once after each handshake of the peer's.
func TestWhoComesIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{}
		start(t, k)
		time.Sleep(3*roundsApart + time.Second)
		k.with(func() {
			if k.asked != 0 {
				t.Errorf("asked %d times before there was a handshake", k.asked)
			}
			k.device.Peers[0].LastHandshakeTime = time.Now()
		})
		time.Sleep(3 * roundsApart)
		k.with(func() {
			if k.asked != 1 {
				t.Errorf("asked %d times after one handshake", k.asked)
			}
		})
	})
}

// The peer is made again once after the tunnel went down, and for another address: the kernel forgets with it which handshakes it has seen.
func TestPeerIsMadeAgainOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		only := at("192.0.2.1:51820")
		k := &kernel{}
		l := start(t, k, only.String())
		renewed := func(what string, want ...netip.AddrPort) {
			t.Helper()
			synctest.Wait()
			k.with(func() {
				if !slices.Equal(k.renewed, want) {
					t.Errorf("%s: made again for %v, want %v", what, k.renewed, want)
				}
				k.renewed = nil
			})
		}
		time.Sleep(10 * roundsApart)
		if n := len(k.takeTried()); n < 9 {
			t.Errorf("tried %d times", n)
		}
		renewed("at first", only)
		l.SetUp(true)
		l.SetUp(false) // so soon that nobody has seen it
		time.Sleep(10 * roundsApart)
		renewed("after it was up", only)
	})
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{}
		start(t, k, "192.0.2.1:51820", "192.0.2.2:51820")
		time.Sleep(3*roundsApart - time.Second)
		k.with(func() {
			if len(k.renewed) != 6 || !slices.Equal(k.renewed, k.tried) {
				t.Errorf("tried %v, made again for %v", k.tried, k.renewed)
			}
		})
	})
}

// Why the tunnel was not up is over when it comes up, or when what failed does not fail any more.
func TestErrorIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{}
		l := start(t, k, "192.0.2.1:51820")
		time.Sleep(2 * time.Second)
		if !strings.Contains(l.Error(), "no answer from 192.0.2.1:51820") {
			t.Errorf("%q", l.Error())
		}
		l.SetUp(true)
		l.SetUp(false)
		if why := l.Error(); why != "" {
			t.Errorf("%q, which was before it was up", why)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{}
		l := start(t, k)
		k.with(func() { k.refuses = errors.New("no") })
		time.Sleep(2 * roundsApart)
		if !strings.Contains(l.Error(), "configure site-b: no") {
			t.Errorf("%q", l.Error())
		}
		k.with(func() { k.refuses = nil })
		time.Sleep(2 * roundsApart)
		if why := l.Error(); why != "" {
			t.Errorf("%q, which is over", why)
		}
	})
}

// What the kernel said last is told while it keeps everybody waiting.
func TestSessionDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{}
		l := start(t, k)
		synctest.Wait()
		if _, err := l.Look(); err != nil {
			t.Fatal(err)
		}
		when := time.Now()
		k.with(func() { k.busy, k.device.Peers[0].LastHandshakeTime = make(chan struct{}), when })
		began := time.Now()
		if s, err := l.Session(); err != nil || !s.Handshake.IsZero() || time.Since(began) > 0 {
			t.Errorf("%+v, %v, after %v", s, err, time.Since(began))
		}
		close(k.busy)
	})
}
