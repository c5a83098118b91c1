//go:build privileged

package fib

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEventsDuringLook: what happens after the events were read, but before the kernel is
// looked at, is both in the look and in events. These must not take out of the picture what
// was written after the look.
func TestEventsDuringLook(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, k *kernel){
		"routes deleted": func(t *testing.T, k *kernel) { k.ip(t, "route flush proto bgp") },
		"link flapped": func(t *testing.T, k *kernel) {
			k.ip(t, "link set down dev tunA")
			k.ip(t, "link set up dev tunA")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, k *kernel) {
				f := openFIB(t, config())
				var want []Route
				for i := range 10 {
					want = append(want, Route{nth(k, i), "tunA"})
				}
				k.sync(t, f, want...)
				f.looking.Lock() // holds up the look, which comes after the reading of events
				f.mu.Lock()
				f.pic.stale = true
				f.mu.Unlock()
				done := make(chan error, 1)
				go func() {
					_, err := f.Flush(t.Context())
					done <- err
				}()
				until(t, "the events are read", func() bool {
					f.mu.Lock()
					defer f.mu.Unlock()
					return !f.pic.stale
				})
				disturb(t, k)
				before := f.Sent()
				f.looking.Unlock()
				if err := <-done; err != nil {
					t.Errorf("Flush: %v", err)
				}
				if n := f.Sent() - before; n != 10 {
					t.Errorf("%d messages; want one for each route", n)
				}
				k.settled(t, f, want...)
			})
		})
	}
}

// overlook takes a route that the kernel has out of the picture, as a lost event would, as
// if the last look at the kernel had just ended and had taken some time.
func overlook(f *FIB, r Route, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.pic.known(r.Prefix)
	f.pic.removeIf(e, func(node) bool { return true })
	f.pic.setState(e, statePending)
	f.queueLocked(e)
	f.looked, f.lookTook = time.Now(), took
}

// TestOwnedIsNotForeign: an owned route that the picture lacks is never told of as another's,
// also where the kernel was looked at just before.
func TestOwnedIsNotForeign(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		a := Route{k.dst, "tunA"}
		k.sync(t, f, a)

		overlook(f, a, time.Hour)
		if r := k.sync(t, f, a); r.Installed4+r.Installed6 != 1 {
			t.Errorf("Flush: %+v; want the route installed", r)
		}
		// What has failed for another reason is no more another's than others are.
		overlook(f, a, time.Hour)
		f.mu.Lock()
		f.failed[a.Prefix] = []failure{{op: "add", name: a.Interface, err: unix.ENOMEM}}
		f.mu.Unlock()
		if r := k.sync(t, f, a); r.Installed4+r.Installed6 != 1 {
			t.Errorf("Flush after another failure: %+v; want the route installed", r)
		}

		overlook(f, a, 10*time.Millisecond)
		run(t, f)
		until(t, "the route is found", func() bool {
			r, err := f.Status()
			if err != nil {
				t.Fatal(err)
			}
			return r.Installed4+r.Installed6 == 1
		})
	})
}

// TestForeignIsToldOnce: a foreign route is told of although the kernel was looked at just
// before; to try again what it is in the way of takes no further look.
func TestForeignIsToldOnce(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		k.sync(t, f)
		k.ip(t, "route add %d dev tunC proto static metric 20")
		f.mu.Lock()
		f.looked, f.lookTook = time.Now(), 10*time.Millisecond
		f.mu.Unlock()
		run(t, f)
		f.Apply(Change{Prefix: k.dst, Ways: []Way{{Interface: "tunA"}}})
		isForeign := func() bool {
			_, err := f.Status()
			return errors.Is(err, unix.EEXIST)
		}
		until(t, "the foreign route is told of", isForeign)
		f.mu.Lock()
		looked, before := f.looked, f.Sent()
		f.looked = time.Time{} // no pause would keep a look back
		f.queueFailedLocked()
		f.mu.Unlock()
		until(t, "it is tried again", func() bool { return f.Sent() > before })
		if _, err := f.Flush(t.Context()); !errors.Is(err, unix.EEXIST) {
			t.Errorf("tried again: %v; want EEXIST", err)
		}
		f.mu.Lock()
		if !f.looked.IsZero() {
			t.Errorf("a look at the kernel, after the one at %s", looked)
		}
		f.mu.Unlock()

		// The operator removes it, and what was said of it no longer counts.
		k.ip(t, "route del %d dev tunC proto static metric 20")
		until(t, "our route is there", func() bool {
			r, err := f.Status()
			return err == nil && r.Installed4+r.Installed6 == 1
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := len(f.doubts.open) + len(f.doubts.foreign); n != 0 {
			t.Errorf("%d doubts are left", n)
		}
	})
}
