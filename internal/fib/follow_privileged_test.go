//go:build privileged

package fib

import (
	"fmt"
	"slices"
	"testing"
)

func TestSomeoneDeletesOurs(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		a := Route{k.dst, "tunA"}
		k.sync(t, f, a)
		run(t, f)
		k.ip(t, "route del %d dev tunA metric 20")
		waitChanged(t, f)
		k.sync(t, f, a)
		k.want(t, "%d dev tunA proto bgp scope link metric 20")
		if n := f.Sent(); n != 2 {
			t.Errorf("%d messages; want 2", n)
		}
	})
}

func TestSomeoneAddsOurs(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		k.sync(t, f)
		run(t, f)
		k.ip(t, "route add %d dev tunA proto bgp metric 20")
		waitChanged(t, f)
		k.sync(t, f)
		k.want(t)
	})
}

// TestOwnWritesAreSilent: Sync must not make Run ask for another Sync.
func TestOwnWritesAreSilent(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		run(t, f)
		k.sync(t, f, Route{k.dst, "tunA"})
		k.sync(t, f, Route{k.dst, "tunB"})
		k.sync(t, f)
		drainChanged(f)
		// Events come in order: when this one has been seen, the others were.
		k.ip(t, "link add name sign type veth peer name sign2")
		until(t, "the event of a new link", func() bool { return knows(f, "sign") })
		select {
		case <-f.Changed():
			t.Error("Changed tells of our own writes")
		default:
		}
	})
}

func knows(f *FIB, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.pic.index[name]
	return ok
}

func TestLinkFlap(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		want := []Route{{k.dst, "tunA"}, {k.other, "tunB"}}
		k.sync(t, f, want...)
		run(t, f)

		k.ip(t, "link set down dev tunA")
		waitChanged(t, f)
		if r := k.sync(t, f, want...); r.Pending != 1 || r.Installed4+r.Installed6 != 1 {
			t.Errorf("down: %+v; want one pending, one installed", r)
		}
		k.want(t)
		drainChanged(f)
		k.ip(t, "link set up dev tunA")
		waitChanged(t, f)
		if r := k.sync(t, f, want...); r.Pending != 0 || r.Installed4+r.Installed6 != 2 {
			t.Errorf("up again: %+v; want two installed", r)
		}
		k.want(t, "%d dev tunA proto bgp scope link metric 20")
		k.settled(t, f, want...)
	})
}

// TestLinkComesBack: an interface is made anew under its name, with another index.
func TestLinkComesBack(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		want := []Route{{k.dst, "tunA"}}
		k.sync(t, f, want...)
		run(t, f)
		k.ip(t, "tuntap del mode tun name tunA")
		waitChanged(t, f)
		if r := k.sync(t, f, want...); r.Pending != 1 || (r.Pending6 == 1) != (k.opt == "-6") {
			t.Errorf("gone: %+v; want one pending", r)
		}
		drainChanged(f)
		k.ip(t, "tuntap add mode tun name tunA")
		k.ip(t, "link set up dev tunA")
		waitChanged(t, f)
		k.sync(t, f, want...)
		k.want(t, "%d dev tunA proto bgp scope link metric 20")
		k.settled(t, f, want...)
	})
}

// TestSyncSeesLinkAtOnce: a Sync right after the interface was made needs no event loop.
func TestSyncSeesLinkAtOnce(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		k.sync(t, f)
		k.ip(t, "tuntap add mode tun name late")
		k.ip(t, "link set up dev late")
		k.sync(t, f, Route{k.dst, "late"})
		k.want(t, "%d dev late proto bgp scope link metric 20")

		k.ip(t, "link set down dev late")
		k.ip(t, "link set name later dev late")
		k.ip(t, "link set up dev later")
		if r := k.sync(t, f, Route{k.dst, "late"}, Route{k.other, "later"}); r.Pending != 1 || r.Errors != 0 {
			t.Errorf("after a rename: %+v; want one pending", r)
		}
		k.want(t)
	})
}

// TestLastAddressTakesRoutes: with an interface's last IPv4 address the kernel
// removes all its IPv4 routes and tells nobody.
func TestLastAddressTakesRoutes(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		want := []Route{{k.dst, "tunA"}}
		k.ip(t, "addr add %s dev tunA")
		k.sync(t, f, want...)
		run(t, f)
		before := f.Sent()
		k.ip(t, "addr del %s dev tunA")
		if k.opt == "-4" {
			until(t, "a route is written", func() bool { return f.Sent() > before })
			k.sync(t, f, want...)
		}
		k.want(t, "%d dev tunA proto bgp scope link metric 20")
	})
}

// TestSourceLeavesAndReturns: the address the routes prefer goes, and the kernel
// takes the IPv4 routes with it, without a word.
func TestSourceLeavesAndReturns(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		cfg := config()
		cfg.Source4, cfg.Source6 = k.src, k.src
		if k.opt == "-4" {
			cfg.Source6 = config().Source6
		} else {
			cfg.Source4 = config().Source4
		}
		f := openFIB(t, cfg)
		want := []Route{{k.dst, "tunA"}}
		k.ip(t, "addr add %s dev lo"+k.nodad)
		k.sync(t, f, want...)
		run(t, f)
		drainChanged(f)

		k.ip(t, "addr del %s dev lo")
		waitChanged(t, f)
		r, err := f.Sync(t.Context(), want)
		if err == nil || r.Errors != 1 {
			t.Errorf("without the source: %+v, %v; want an error", r, err)
		}
		if is6 := k.opt == "-6"; (r.Errors6 == 1) != is6 {
			t.Errorf("without the source, IPv6 %v: %+v", is6, r)
		}
		drainChanged(f)
		k.ip(t, "addr add %s dev lo")
		k.syncWhenTold(t, f, want...)
		k.want(t, "%d dev tunA proto bgp scope link src "+k.src.String()+" metric 20")
	})
}

// TestLostEvents: with a socket buffer that is far too small the kernel drops
// events, and what they would have said is found all the same, by whoever notices first.
func TestLostEvents(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running=%t", running), func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, k *kernel) {
				f := openFIB(t, config())
				var want []Route
				for i := range 1000 {
					want = append(want, Route{nth(k, i), "tunA"})
				}
				k.sync(t, f, want...)
				drainChanged(f)
				if err := f.events.SetReceiveBuffer(1); err != nil {
					t.Fatal(err)
				}
				other := openFIB(t, config()) // someone else, as far as f can tell
				if err := other.Cleanup(t.Context()); err != nil {
					t.Fatal(err)
				}
				before := f.Sent()
				if running {
					run(t, f)
					waitChanged(t, f)
				}
				if r := k.sync(t, f, want...); r.Installed4+r.Installed6 != 1000 {
					t.Errorf("%+v; want 1000 installed", r)
				}
				if n := f.Sent() - before; n != 1000 {
					t.Errorf("%d messages; want 1000", n)
				}
			})
		})
	}
}

func drainChanged(f *FIB) {
	select {
	case <-f.Changed():
	default:
	}
}

// TestAgainstModel plays many random changes, ours and others', and compares the
// kernel with what was asked for after each.
func TestAgainstModel(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		rnd := newRand(t)
		tuns := []string{"tunA", "tunB", "tunC"}
		for range 60 {
			var want []Route
			for i := range 40 {
				if rnd.IntN(3) > 0 {
					want = append(want, Route{nth(k, i), tuns[rnd.IntN(3)]})
				}
			}
			switch p := nth(k, rnd.IntN(40)); rnd.IntN(4) {
			case 0:
				k.ip(t, "route flush "+p.String()+" proto bgp")
			case 1:
				k.ip(t, "link set down dev tunB")
				k.ip(t, "link set up dev tunB")
			case 2:
				k.ip(t, "route replace "+p.String()+" dev tunC proto bgp metric 20")
			}
			k.sync(t, f, want...)
			if _, err := f.look(t.Context(), f.conn); err != nil {
				t.Fatal(err)
			}
			var got []Route
			f.mu.Lock()
			for e := range f.pic.entries.all() {
				for h := range f.pic.routes(e) {
					got = append(got, Route{e.key.prefix(), f.pic.links[h.index].Name})
				}
			}
			f.mu.Unlock()
			slices.SortFunc(got, func(a, b Route) int { return a.Prefix.Compare(b.Prefix) })
			if !slices.Equal(got, want) {
				t.Fatalf("the kernel has %v\nwant %v", got, want)
			}
		}
	})
}
