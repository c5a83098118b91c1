package kernelwg

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// routes are the ways that the kernel has, as far as a test says.
type routes struct {
	mu       sync.Mutex
	followed map[netip.AddrPort]func(lost bool, why string)
}

func (r *routes) Follow(local, remote netip.AddrPort, changed func(lost bool, why string)) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.followed == nil {
		r.followed = map[netip.AddrPort]func(bool, string){}
	}
	r.followed[remote] = changed
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.followed, remote)
	}
}

func (r *routes) remotes() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for a := range r.followed {
		all = append(all, a.String())
	}
	return all
}

// tell says what has become of a way, as the watcher does: without its lock.
func (r *routes) tell(remote string, lost bool, why string) {
	r.mu.Lock()
	changed := r.followed[at(remote)]
	r.mu.Unlock()
	changed(lost, why)
}

// startWithRoutes is start, with the words that Lost is told.
func startWithRoutes(t *testing.T, k *kernel, r *routes, remotes ...string) (*Link, func() []string) {
	var mu sync.Mutex
	var told []string
	l := startWith(t, k, Config{Paths: r, Remotes: remotes, Lost: func(why string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, why)
	}}, nil)
	return l, func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return told
	}
}

// The way to where the peer is is followed, and to no other place. What is lost is told once; what is there again begins a handshake at
// once.
func TestWayToThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		only := at("192.0.2.1:51820")
		k, r := &kernel{answers: []netip.AddrPort{only}}, &routes{}
		l, told := startWithRoutes(t, k, r, only.String())
		time.Sleep(100 * time.Millisecond)
		l.SetUp(true)
		if got := r.remotes(); !slices.Equal(got, []string{only.String()}) {
			t.Fatalf("followed %v", got)
		}
		r.tell(only.String(), true, "interface wan0 is down")
		l.SetUp(false)
		if got := told(); !slices.Equal(got, []string{"interface wan0 is down"}) || l.Error() != "interface wan0 is down" {
			t.Fatalf("told %q, error %q", got, l.Error())
		}
		k.with(func() { k.answers = nil })
		time.Sleep(time.Minute + 100*time.Millisecond)
		synctest.Wait()
		k.takeTried()
		k.with(func() { k.renewed, k.asked = nil, 0 })
		r.tell(only.String(), false, "it can be reached again")
		if got := told(); !slices.Equal(got, []string{"interface wan0 is down", ""}) {
			t.Fatalf("told %q", got)
		}
		k.with(func() {
			if len(k.renewed) != 1 || k.asked == 0 {
				t.Errorf("made again %d times, asked %d times", len(k.renewed), k.asked)
			}
		})
	})
}

// A peer that comes from elsewhere is reached by another way, and what becomes of the one before is of no interest.
func TestWayFollowsThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, r := &kernel{}, &routes{}
		l, told := startWithRoutes(t, k, r)
		comesFrom := func(a string) {
			k.with(func() {
				k.device.Peers[0].Endpoint = net.UDPAddrFromAddrPort(at(a))
			})
			if _, err := l.Look(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		comesFrom("192.0.2.1:1000")
		l.SetUp(true)
		r.mu.Lock()
		stale := r.followed[at("192.0.2.1:1000")]
		r.mu.Unlock()
		r.tell("192.0.2.1:1000", true, "no route")
		comesFrom("192.0.2.2:2000")
		stale(true, "no route")
		if got := told(); !slices.Equal(got, []string{"no route", ""}) {
			t.Errorf("told %q", got)
		}
		if got := r.remotes(); !slices.Equal(got, []string{"192.0.2.2:2000"}) {
			t.Errorf("followed %v", got)
		}
		k.with(func() { k.asked = 0 })
		r.tell("192.0.2.2:2000", false, "by another interface")
		k.with(func() {
			if k.asked != 1 {
				t.Errorf("asked %d times by another way", k.asked)
			}
		})
	})
}

// Nothing is followed after the end.
func TestNoWayAfterTheEnd(t *testing.T) {
	r := &routes{}
	synctest.Test(t, func(t *testing.T) {
		var l *Link
		t.Cleanup(func() { // after that by which it ends
			if _, err := l.Look(); err != nil || len(r.remotes()) > 0 {
				t.Errorf("%v, and followed %v", err, r.remotes())
			}
		})
		l, _ = startWithRoutes(t, &kernel{}, r, "192.0.2.1:51820")
		time.Sleep(100 * time.Millisecond)
	})
}

// All addresses of one remote have connect_timeout together; what was not tried in a round is tried first in the next.
func TestAddressesOfOneRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{}
		names := map[string][]netip.AddrPort{
			"many:1": {at("192.0.2.1:1"), at("192.0.2.2:1"), at("192.0.2.3:1"), at("192.0.2.4:1"), at("192.0.2.5:1")},
			"one:1":  {at("198.51.100.1:1")},
		}
		var times []time.Duration
		began := time.Now()
		k.onTry = func() { times = append(times, time.Since(began)) }
		startWith(t, k, Config{Remotes: []string{"many:1", "one:1"}, ConnectTimeout: 2 * time.Second}, names)
		time.Sleep(9500 * time.Millisecond)
		synctest.Wait()
		want := []netip.AddrPort{
			at("192.0.2.1:1"), at("192.0.2.2:1"), at("198.51.100.1:1"),
			at("192.0.2.3:1"), at("192.0.2.4:1"), at("192.0.2.1:1"), at("192.0.2.2:1"), at("198.51.100.1:1"),
		}
		if tried := k.takeTried(); !slices.Equal(tried, want) {
			t.Errorf("tried %v", tried)
		}
		if want := []time.Duration{0, 1, 2, 5, 6, 7, 8, 9}; !slices.EqualFunc(times, want, func(a, b time.Duration) bool { return a == b*time.Second }) {
			t.Errorf("tried after %v", times)
		}
	})
}
