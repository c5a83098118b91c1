//go:build privileged

package fib

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// lan is hops where hopA is on a network, 192.0.2.0/24 or 2001:db8:a::/64, of which gateways
// are some addresses.
func lan(t *testing.T, test func(t *testing.T, k *kernel, gateways []string)) {
	hops(t, func(t *testing.T, k *kernel) {
		k.ip(t, "-6 addr add fe80::1:1/64 dev hopA nodad")
		if k.opt == "-4" {
			k.ip(t, "addr add 192.0.2.1/24 dev hopA")
			test(t, k, []string{"192.0.2.7", "192.0.2.8", "192.0.2.9"})
			return
		}
		k.ip(t, "addr add 2001:db8:a::1/64 dev hopA nodad")
		test(t, k, []string{"2001:db8:a::7", "fe80::8", "2001:db8:a::9"})
	})
}

// look has the FIB compare its picture with the kernel, which finds nothing to write.
func (k *kernel) look(t *testing.T, f *FIB) {
	t.Helper()
	before := f.Sent()
	f.mu.Lock()
	f.pic.stale = true
	f.mu.Unlock()
	if flush(t, f); f.Sent() != before {
		t.Errorf("%d messages when nothing has changed", f.Sent()-before)
	}
}

// TestGatewayMoves: a prefix moves from one gateway to another, to an interface without, and
// to several, and is at no moment without a route. What the picture has is what the kernel has.
func TestGatewayMoves(t *testing.T) {
	lan(t, func(t *testing.T, k *kernel, gw []string) {
		f := openFIB(t, config())
		a, b, c := "hopA*"+gw[0], "hopA*"+gw[1], "hopA*"+gw[2]
		steps := [][]string{{b}, {c}, {"hopA"}, {a}, {"hopB"}, {b}, {a, b}, {a, "hopB", c}, {c}, {b, c}, {"hopA", c}}
		f.Apply(Change{Prefix: k.dst, Ways: ways(a)})
		flush(t, f)
		k.wantWay(t, a)
		events := 2 * len(steps)
		if k.opt == "-6" {
			events += 4 // of the routes that stand in where it moves from gateway to gateway
		}
		neverWithout(t, k, events, func() {
			for _, names := range steps {
				f.Apply(Change{Prefix: k.dst, Ways: ways(names...)})
				if r := flush(t, f); r.Installed4+r.Installed6 != 1 || r.Pending != 0 {
					t.Errorf("%v: %+v; want one installed", names, r)
				}
				slices.Sort(names)
				k.wantWay(t, strings.Join(names, " "))
				k.look(t, f)
			}
		})
		f.Apply(Change{Prefix: k.dst})
		flush(t, f)
		k.wantWay(t, "-")
		if got := k.objects(t); got != nil {
			t.Errorf("objects %v are left", got)
		}
		if n := len(f.pic.via.numbers); n > 0 {
			t.Errorf("%d gateways are remembered", n)
		}
	})
}

// TestGatewaysOfOneInterface: the ways by several gateways are hops each, and an interface
// that is down takes all of them.
func TestGatewaysOfOneInterface(t *testing.T) {
	lan(t, func(t *testing.T, k *kernel, gw []string) {
		f := openFIB(t, config())
		a, b := "hopA*"+gw[0], "hopA*"+gw[1]
		f.Apply(Change{Prefix: k.dst, Ways: ways(a, b, "hopB", "~hopC")}, Change{Prefix: k.other, Ways: ways(a, "~hopC")})
		flush(t, f)
		want := []string{a, b, "hopB"}
		slices.Sort(want)
		k.wantWay(t, strings.Join(want, " "))
		before := f.Sent()
		f.SetHop("hopA", Hop{Down: true})
		flush(t, f)
		k.wantWay(t, "hopB")
		if got := k.way(t, k.other); got != "hopC" {
			t.Errorf("the other goes to %q, want its reserve", got)
		}
		if n := f.Sent() - before; n != 4 { // hopC, the group that gets it, and two that go
			t.Errorf("%d messages", n)
		}
		f.SetHop("hopA", Hop{})
		flush(t, f)
		k.wantWay(t, strings.Join(want, " "))
		k.look(t, f)
	})
}

// TestLateNeighborOfANetwork: of two neighbors on one interface one is late, and nothing goes by its gateway where there
// is another way. A gateway that both name is used, as one of them is not late.
func TestLateNeighborOfANetwork(t *testing.T) {
	for _, noObjects := range []bool{false, true} {
		lan(t, func(t *testing.T, k *kernel, gw []string) {
			f, err := open(config(), noObjects)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			a, b := "hopA*"+gw[0], "hopA*"+gw[1]
			both := func(only string) string {
				if noObjects {
					return only // a plain route has one way
				}
				return strings.Join(slices.Sorted(slices.Values([]string{a, b})), " ")
			}
			shared, alone := nth(k, 1), nth(k, 2)
			say := func(neighbor string, late bool, dst, of string) {
				t.Helper()
				f.SetLate(neighbor, late)
				flush(t, f)
				k.wantWay(t, dst)
				if got := k.way(t, shared); got != of {
					t.Errorf("%s late: %v: what both announce by the first goes to %q, want %q", neighbor, late, got, of)
				}
				if got := k.way(t, alone); got != a {
					t.Errorf("%s late: %v: what has no other way goes to %q", neighbor, late, got)
				}
				k.look(t, f)
			}
			f.SetLate("first", true)
			f.Apply(
				Change{Prefix: k.dst, Ways: ways("hopA@first*"+gw[0], "hopA@second*"+gw[1])},
				Change{Prefix: shared, Ways: ways("hopA@first*"+gw[0], "hopA@second*"+gw[0], "hopA@second*"+gw[1])},
				Change{Prefix: alone, Ways: ways("hopA@first*" + gw[0])},
			)
			say("nobody", true, b, both(a))
			say("second", true, both(a), both(a)) // there is none that is not late
			say("first", false, a, a)
			say("second", false, both(a), both(a))
			say("first", true, b, both(a))
			f.Apply(Change{Prefix: k.dst}, Change{Prefix: shared}, Change{Prefix: alone})
			flush(t, f)
			if got := k.objects(t); got != nil {
				t.Errorf("objects %v are left", got)
			}
		})
	}
}

// TestHopOfTwoNeighbors: one gateway that two neighbors name is one hop, as route servers of a network do. Its prefixes have
// plain routes, which a loss of the carrier does not take.
func TestHopOfTwoNeighbors(t *testing.T) {
	lan(t, func(t *testing.T, k *kernel, gw []string) {
		f := openFIB(t, config())
		a, b := "hopA*"+gw[0], "hopA*"+gw[1]
		one := ways("hopA@first*"+gw[0], "hopA@second*"+gw[0], "~hopA@third*"+gw[0])
		step := func(what, want string, messages uint64) {
			t.Helper()
			before := f.Sent()
			flush(t, f)
			k.wantWay(t, want)
			if n := f.Sent() - before; n != messages {
				t.Errorf("%s: %d messages, want %d", what, n, messages)
			}
			k.look(t, f)
		}
		f.Apply(Change{Prefix: k.dst, Ways: one})
		step("a prefix", a, 1)
		if got := k.objects(t); got != nil {
			t.Errorf("objects %v for a prefix with one hop", got)
		}
		f.SetLate("first", true)
		step("a neighbor is late", a, 0)
		k.ip(t, "link set hopAx down")
		k.carrier(t, "hopA", false)
		step("the carrier is lost", a, 0)
		k.ip(t, "link set hopAx up")
		k.carrier(t, "hopA", true)
		step("the carrier is back", a, 0)
		f.SetHop("hopA", Hop{Down: true})
		step("the interface is down", "-", 1)
		f.SetHop("hopA", Hop{})
		step("the interface is up", a, 1)

		neverWithout(t, k, 4, func() {
			f.Apply(Change{Prefix: k.dst, Ways: append(ways(b), one...)})
			flush(t, f)
			k.wantWay(t, strings.Join(slices.Sorted(slices.Values([]string{a, b})), " "))
			f.Apply(Change{Prefix: k.dst, Ways: one})
			flush(t, f)
			k.wantWay(t, a)
		})
		if got := k.objects(t); got != nil {
			t.Errorf("objects %v are left", got)
		}
	})
}

// TestGatewayRoutesAreOwned: what a killed daemon has left with gateways is taken over or
// removed, and someone else's stays.
func TestGatewayRoutesAreOwned(t *testing.T) {
	lan(t, func(t *testing.T, k *kernel, gw []string) {
		a, b := "hopA*"+gw[0], "hopA*"+gw[1]
		killed := openFIB(t, config())
		killed.Apply(Change{Prefix: k.dst, Ways: ways(a)}, Change{Prefix: k.other, Ways: ways(a, b)}, Change{Prefix: nth(k, 1), Ways: ways(b)})
		flush(t, killed)
		k.ip(t, "route add "+nth(k, 2).String()+" via "+gw[0]+" dev hopA proto static metric 20")

		f := openFIB(t, config())
		if err := f.Cleanup(t.Context(), Change{Prefix: k.dst, Ways: ways(a)}, Change{Prefix: k.other, Ways: ways(b, a)}); err != nil {
			t.Fatal(err)
		}
		if n := f.Sent(); n != 1 {
			t.Errorf("%d messages, want only that which removes the route that is not wanted", n)
		}
		if got := k.way(t, nth(k, 1)); got != "-" {
			t.Errorf("the third goes to %q", got)
		}
		// Someone else removes a route, and puts one there.
		run(t, f)
		k.ip(t, "route del %d via "+gw[0]+" dev hopA proto bgp")
		until(t, "the route is back", func() bool { return k.way(t, k.dst) == a })
		k.ip(t, "route append %d via "+gw[2]+" dev hopA proto bgp metric 21")
		until(t, "the other route is gone", func() bool { return k.way(t, k.dst) == a })
		f.Apply(Change{Prefix: k.dst}, Change{Prefix: k.other})
		until(t, "all are gone", func() bool { return k.way(t, k.dst) == "-" && k.way(t, k.other) == "-" && k.objects(t) == nil })
		if got := k.ip(t, "route show "+nth(k, 2).String()); !strings.Contains(got, "static") {
			t.Error("someone else's route is gone")
		}
	})
}

// TestGatewayOfTheOtherFamily: IPv4 goes by IPv6 gateways (RFC 8950), alone and in groups,
// which share an object with IPv6.
func TestGatewayOfTheOtherFamily(t *testing.T) {
	lan(t, func(t *testing.T, k *kernel, gw []string) {
		if k.opt != "-4" {
			return // is played with IPv4
		}
		six := netip.MustParsePrefix("2001:db8:9::/48")
		f := openFIB(t, config())
		a, via := "hopA*"+gw[0], "hopA*fe80::8"
		for _, names := range [][]string{{via}, {a}, {via}, {"hopB", via}, {a, via}} {
			f.Apply(Change{Prefix: k.dst, Ways: ways(names...)}, Change{Prefix: six, Ways: ways(via, "hopB")})
			if r := flush(t, f); r.Installed4 != 1 || r.Installed6 != 1 {
				t.Errorf("%v: %+v", names, r)
			}
			slices.Sort(names)
			k.wantWay(t, strings.Join(names, " "))
			k.look(t, f)
		}
		if n := len(k.objects(t)); n != 5 { // the groups, fe80::8, the other gateway, and hopB for IPv6
			t.Errorf("objects %v", k.objects(t))
		}
	})
}
