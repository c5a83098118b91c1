//go:build privileged

package fib

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

func TestSyncAddsMovesRemoves(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		a, b := Route{k.dst, "tunA"}, Route{k.dst, "tunB"}

		r := k.sync(t, f, a)
		if r.Installed4+r.Installed6 != 1 || (k.opt == "-4") != (r.Installed4 == 1) {
			t.Errorf("%+v; want one installed", r)
		}
		k.want(t, "%d dev tunA proto bgp scope link metric 20")
		k.settled(t, f, a)

		k.sync(t, f, b)
		k.want(t, "%d dev tunB proto bgp scope link metric 20")
		k.settled(t, f, b)

		k.sync(t, f)
		k.want(t)
		k.settled(t, f)
	})
}

// neverWithout follows the kernel's own account of what change does to the one
// route of k.dst: at every event there has to be one.
func neverWithout(t *testing.T, k *kernel, wantEvents int, change func()) {
	t.Helper()
	witness, err := rtnl.Subscribe(rtnl.Hidden{}, groups...)
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	change()

	have, events := 1, 0
	_, err = witness.Drain(func(h rtnl.Header, b []byte) {
		r, ok := rtnl.ParseRoute(b)
		if !ok || r.Prefix != k.dst {
			return
		}
		events++
		if h.Type == unix.RTM_NEWROUTE {
			have++
		} else {
			have--
		}
		if have < 1 {
			t.Error("there is a moment without a route")
		}
	})
	if err != nil || events != wantEvents {
		t.Errorf("%d events, %v; want %d", events, err, wantEvents)
	}
}

func TestMoveDoesNotBlink(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		k.sync(t, f, Route{k.dst, "tunA"})
		neverWithout(t, k, 4, func() {
			k.sync(t, f, Route{k.dst, "tunB"})
			k.sync(t, f, Route{k.dst, "tunC"})
		})
	})
}

// TestSourceChangesWithoutABlink: the preferred source comes, changes and goes, and
// there is a route all the time.
func TestSourceChangesWithoutABlink(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		next := k.src.Next()
		k.ip(t, "addr add %s dev lo"+k.nodad)
		k.ip(t, "addr add "+next.String()+" dev lo"+k.nodad)
		f := openFIB(t, config())
		a := Route{k.dst, "tunA"}
		k.sync(t, f, a)
		events := 6
		if k.opt == "-6" {
			events = 12
		}
		neverWithout(t, k, events, func() {
			for _, src := range []netip.Addr{k.src, next, {}} {
				set := [2]netip.Addr{src, {}}
				words := " src " + src.String()
				if k.opt == "-6" {
					set[0], set[1] = set[1], set[0]
				}
				if !src.IsValid() {
					words = ""
				}
				if err := f.SetSources(set[0], set[1]); err != nil {
					t.Fatal(err)
				}
				k.sync(t, f, a)
				k.want(t, "%d dev tunA proto bgp scope link"+words+" metric 20")
				k.settled(t, f, a)
			}
		})
		// What stands in has another metric; one of others' there stays.
		k.ip(t, "route add %d dev tunC proto static metric 21")
		if err := f.SetSources(netip.Addr{}, k.src); k.opt == "-6" && err == nil {
			k.sync(t, f, a)
			k.want(t, "%d dev tunA proto bgp src "+k.src.String()+" metric 20", "%d dev tunC proto static metric 21")
		}
		// An address that is not there is no error: who said it will say another.
		missing := [2]netip.Addr{next.Next()}
		if k.opt == "-6" {
			missing = [2]netip.Addr{{}, next.Next()}
		}
		if err := f.SetSources(missing[0], missing[1]); err != nil {
			t.Fatal(err)
		}
		if r, err := f.Sync(t.Context(), []Route{a}); err != nil || r.Pending != 1 {
			t.Errorf("a source that went: %+v, %v; want the route to be pending", r, err)
		}
		if err := f.SetSources(netip.MustParseAddr("::1"), netip.Addr{}); err == nil {
			t.Error("an IPv6 address is taken for IPv4 routes")
		}
	})
}

// TestForeignSameMetric: someone else has our destination with our metric.
func TestForeignSameMetric(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		const foreign = "%d dev tunC proto static scope link metric 20"
		f := openFIB(t, config())
		k.ip(t, "route add %d dev tunC proto static metric 20")
		want := []Route{{k.dst, "tunA"}, {k.other, "tunA"}}

		r, err := f.Sync(t.Context(), want)
		var e *Error
		if !errors.As(err, &e) || e.Total != 1 || e.Causes[0].Prefix != k.dst || !errors.Is(err, unix.EEXIST) ||
			!strings.Contains(err.Error(), "metric") {
			t.Errorf("Sync: %v; want an error that names %s and the metric", err, k.dst)
		}
		if r.Errors != 1 || r.Installed4+r.Installed6 != 1 {
			t.Errorf("%+v; want one error, and the other route installed", r)
		}
		k.want(t, foreign)

		// When it goes, ours takes the place.
		run(t, f)
		k.ip(t, "route del %d dev tunC proto static metric 20")
		waitChanged(t, f)
		k.sync(t, f, want...)
		k.want(t, "%d dev tunA proto bgp scope link metric 20")
	})
}

// TestForeignSurvives: a foreign route beside ours lives through all we do.
func TestForeignSurvives(t *testing.T) {
	const ours, foreign = "%d dev tunA proto bgp scope link metric 20", "proto static scope link metric "
	for _, c := range []struct {
		name, add string
		lines     [2]string // what ip shows while ours is there, and without it
	}{
		{"lower metric", "add %d dev tunC proto static metric 10", [2]string{"%d dev tunC " + foreign + "10|" + ours, "%d dev tunC " + foreign + "10"}},
		{"higher metric", "add %d dev tunC proto static metric 30", [2]string{ours + "|%d dev tunC " + foreign + "30", "%d dev tunC " + foreign + "30"}},
		{"same metric behind ours", "append %d dev tunC proto static metric 20", [2]string{ours + "|%d dev tunC " + foreign + "20", "%d dev tunC " + foreign + "20"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, k *kernel) {
				f := openFIB(t, config())
				a := Route{k.dst, "tunA"}
				k.sync(t, f, a)
				k.ip(t, "route "+c.add)
				k.settled(t, f, a)
				k.want(t, strings.Split(c.lines[0], "|")...)

				k.sync(t, f, Route{k.dst, "tunB"})
				k.sync(t, f, a)
				k.settled(t, f, a)
				k.sync(t, f)
				k.want(t, c.lines[1])
				k.sync(t, f)
				if err := f.Cleanup(t.Context()); err != nil {
					t.Error(err)
				}
				k.want(t, c.lines[1])
			})
		})
	}
}

// TestForeignOnOurInterface: the foreign route differs from ours by its protocol alone.
func TestForeignOnOurInterface(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		const foreign = "%d dev tunA proto static scope link metric 20"
		f := openFIB(t, config())
		k.ip(t, "route add %d dev tunA proto static metric 20")
		if _, err := f.Sync(t.Context(), []Route{{k.dst, "tunA"}}); !errors.Is(err, unix.EEXIST) {
			t.Errorf("Sync: %v; want EEXIST", err)
		}
		k.sync(t, f)
		if err := f.Cleanup(t.Context()); err != nil {
			t.Error(err)
		}
		k.want(t, foreign)
	})
}

// TestRemovalHitsOursAlone: our route is gone without our knowing, and a foreign one
// is there that differs in one thing.
func TestRemovalHitsOursAlone(t *testing.T) {
	for _, foreign := range []string{
		"dev tunA proto static scope link metric 20",
		"dev tunA proto static scope link metric 21",
		"dev tunB proto static scope link metric 20",
	} {
		t.Run(foreign, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, k *kernel) {
				f := openFIB(t, config())
				k.sync(t, f)
				f.mu.Lock()
				h := f.pic.way(k.dst)
				h.index = f.pic.index["tunA"]
				f.pic.add(k.dst, h)
				f.queueLocked(f.pic.known(k.dst))
				f.mu.Unlock()
				k.ip(t, "route add %d "+foreign)
				k.sync(t, f)
				if f.Sent() != 1 {
					t.Errorf("%d messages; want one removal", f.Sent())
				}
				k.want(t, "%d "+foreign)
			})
		})
	}
}

// TestForeignReplacesOurs: `ip route replace` of someone else hits our route. Ours
// is gone then, and Sync neither takes it back by force nor believes it there.
func TestForeignReplacesOurs(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		a := Route{k.dst, "tunA"}
		k.sync(t, f, a)
		run(t, f)
		k.ip(t, "route replace %d dev tunC proto static metric 20")
		waitChanged(t, f)
		if r, err := f.Sync(t.Context(), []Route{a}); !errors.Is(err, unix.EEXIST) || r.Errors != 1 {
			t.Errorf("Sync: %+v, %v; want EEXIST", r, err)
		}
		k.want(t, "%d dev tunC proto static scope link metric 20")
	})
}

// TestCleanup: what a killed daemon left goes, whatever it looks like.
func TestCleanup(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		k.ip(t, "route add %d dev tunA proto bgp metric 20")
		k.ip(t, "route append %d dev tunB proto bgp metric 20")
		k.ip(t, "route add %d dev tunB proto bgp metric 7")
		k.ip(t, "route add blackhole %o proto bgp metric 5")
		k.ip(t, "addr add %s dev tunC")
		via := strings.Replace(k.src.String(), ".1", ".2", 1)
		if k.opt == "-6" {
			via = "fe80::2"
		}
		k.ip(t, "route add %o via "+via+" dev tunC onlink proto bgp metric 6")
		k.ip(t, "route add %o proto bgp metric 8 nexthop via "+via+" dev tunC onlink nexthop via "+via+" dev tunB onlink")
		k.ip(t, "route add %d dev tunC proto static metric 9")
		k.ip(t, "route add %d dev tunC proto bgp metric 20 table 77")

		f := openFIB(t, config())
		if err := f.Cleanup(t.Context()); err != nil {
			t.Error(err)
		}
		if got := k.ip(t, "route show proto bgp"); got != "" {
			t.Errorf("left are\n%s", got)
		}
		k.want(t, "%d dev tunC proto static scope link metric 9")
		if got := k.routes(t, "77"); len(got) != 1 {
			t.Errorf("table 77 has %q; want its route", got)
		}
		k.settled(t, f)
	})
}

// TestTakesOver: routes that a killed daemon left and that are wanted stay as they are,
// those of another shape are put right.
func TestTakesOver(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		k.ip(t, "route add %d dev tunA proto bgp metric 20")
		k.ip(t, "route append %d dev tunB proto bgp metric 20")
		k.ip(t, "route add %o dev tunA proto bgp metric 19")
		f := openFIB(t, config())
		want := []Route{{k.dst, "tunA"}, {k.other, "tunA"}}
		k.sync(t, f, want...)
		if n := f.Sent(); n != 3 {
			t.Errorf("%d messages; want one to remove, two to change the metric", n)
		}
		k.want(t, "%d dev tunA proto bgp scope link metric 20")
		k.settled(t, f, want...)
	})
}

func TestSource(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		cfg := config()
		cfg.Source4, cfg.Source6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
		f := openFIB(t, cfg)
		a := Route{k.dst, "tunA"}
		_, err := f.Sync(t.Context(), []Route{a})
		if err == nil || !strings.Contains(err.Error(), k.src.String()+" is not an address of this machine") {
			t.Errorf("Sync: %v; want it to name the source", err)
		}

		stop := run(t, f)
		k.ip(t, "addr add %s dev lo")
		k.syncWhenTold(t, f, a)
		withSource := "%d dev tunA proto bgp scope link src " + k.src.String() + " metric 20"
		k.want(t, withSource)
		k.settled(t, f, a)

		// Moving keeps the source; another configuration changes it.
		k.sync(t, f, Route{k.dst, "tunB"})
		k.sync(t, f, a)
		k.want(t, withSource)
		stop()
		plain := openFIB(t, config())
		k.sync(t, plain, a)
		k.want(t, "%d dev tunA proto bgp scope link metric 20")
		k.settled(t, plain, a)
	})
}

// TestUnreachable: a route that leads nowhere stays beneath one that leads somewhere,
// and takes over by itself when the kernel drops that one with its interface.
func TestUnreachable(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		below := "unreachable %d proto bgp metric 4294967294"
		if k.opt == "-6" {
			below = "unreachable %d dev lo proto bgp metric 4294967294"
		}
		way := "%d dev tunA proto bgp scope link metric 20"
		nowhere, a := Route{Prefix: k.dst}, Route{k.dst, "tunA"}
		k.ip(t, "link set lo up")
		if r := k.sync(t, f, nowhere); r.Installed4+r.Installed6 != 0 {
			t.Errorf("%+v; want none that leads anywhere", r)
		}
		k.want(t, below)
		k.settled(t, f, nowhere)

		k.sync(t, f, a, nowhere)
		k.want(t, way, below)
		k.settled(t, f, nowhere, a)
		k.ip(t, "link set tunA down")
		k.want(t, below)
		k.ip(t, "link set tunA up")
		k.sync(t, f, nowhere, a)
		k.want(t, way, below)

		// Another FIB finds what a killed one left.
		next := openFIB(t, config())
		k.sync(t, next, nowhere)
		k.want(t, below)
		k.sync(t, next, a)
		k.want(t, way)
		k.sync(t, next, a, nowhere)
		if err := next.Cleanup(t.Context(), Change{Prefix: k.dst, Unreachable: true}); err != nil {
			t.Error(err)
		}
		k.want(t, below)
		if err := next.Cleanup(t.Context()); err != nil {
			t.Error(err)
		}
		k.want(t)
	})
}

func TestTableAndDefault(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		for _, table := range []int{100, 100000} {
			cfg := config()
			cfg.Table = table
			f := openFIB(t, cfg)
			all := Route{netip.PrefixFrom(k.dst.Addr(), 0).Masked(), "tunA"}
			k.sync(t, f, all, Route{k.dst, "tunA"})
			k.settled(t, f, all, Route{k.dst, "tunA"})
			k.want(t)
			if got := k.ip(t, fmt.Sprintf("route show table %d", table)); strings.Count(got, "tunA proto bgp") != 2 ||
				!strings.Contains(got, "default") {
				t.Errorf("table %d:\n%s", table, got)
			}
			if err := f.Cleanup(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestMetricZero(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		cfg := config()
		cfg.Metric = 0
		f := openFIB(t, cfg)
		k.sync(t, f, Route{k.dst, "tunA"})
		k.settled(t, f, Route{k.dst, "tunA"})
		k.sync(t, f, Route{k.dst, "tunB"})
		k.settled(t, f, Route{k.dst, "tunB"})
	})
}

// TestGoesOn: routes that fail keep none of the others back, and the error stays short.
func TestGoesOn(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		var want []Route
		for i := range 2000 {
			p := nth(k, i)
			if i%20 == 0 {
				k.ip(t, "route add "+p.String()+" dev tunC metric 20")
			}
			want = append(want, Route{p, "tunA"})
		}
		want = append(want, Route{k.dst, "missing"}, Route{Prefix: netip.PrefixFrom(k.src, 8), Interface: "tunA"})
		r, err := f.Sync(t.Context(), want)
		if r.Errors != 101 || r.Installed4+r.Installed6 != 1900 || r.Pending != 1 {
			t.Errorf("%+v; want 101 errors, 1900 installed, 1 pending", r)
		}
		var e *Error
		if !errors.As(err, &e) || len(e.Causes) != 2 || e.Total != 101 || !strings.Contains(err.Error(), " and 99 more: file exists: another route") {
			t.Errorf("Sync: %v", err)
		}
	})
}

func TestSyncStopsWithContext(t *testing.T) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Sync(ctx, []Route{{k.dst, "tunA"}}); !errors.Is(err, context.Canceled) {
			t.Errorf("Sync: %v", err)
		}
		k.want(t)
	})
}

// nth is the i-th of many prefixes of k's family.
func nth(k *kernel, i int) netip.Prefix {
	if k.opt == "-4" {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	a := netip.MustParseAddr("2001:db8:1000::").As16()
	a[6], a[7], a[8] = byte(i>>16), byte(i>>8), byte(i)
	return netip.PrefixFrom(netip.AddrFrom16(a), 72)
}
