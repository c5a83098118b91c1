//go:build privileged

package fib

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// hops runs one test for both families, each in a namespace with three interfaces that
// are up and have a carrier, which the state of their other ends decides.
func hops(t *testing.T, test func(t *testing.T, k *kernel)) {
	bothFamilies(t, func(t *testing.T, k *kernel) {
		for _, name := range []string{"hopA", "hopB", "hopC"} {
			k.ip(t, "link add name "+name+" type veth peer name "+name+"x")
			k.ip(t, "link set "+name+" up")
			k.ip(t, "link set "+name+"x up")
		}
		for _, name := range []string{"hopA", "hopB", "hopC"} {
			k.carrier(t, name, true)
		}
		k.ip(t, "link set lo up")
		test(t, k)
	})
}

// carrier waits until the kernel shows the carrier of an interface, and has drawn its
// conclusions.
func (k *kernel) carrier(t testing.TB, name string, want bool) {
	t.Helper()
	until(t, fmt.Sprint("carrier of ", name, " ", want), func() bool {
		return strings.Contains(k.ip(t, "link show "+name), "state UP") == want
	})
}

// ways makes ways of what a test says: an interface, "~" before one in reserve, "@" and a neighbor behind, which
// else has the interface's name, "*" and a gateway, ":" and a weight behind that of one without a gateway.
func ways(names ...string) (all []Way) {
	for _, n := range names {
		name, gateway, _ := strings.Cut(n, "*")
		name, weight, _ := strings.Cut(name, ":")
		name, reserve := strings.CutPrefix(name, "~")
		name, neighbor, _ := strings.Cut(name, "@")
		w := Way{Interface: name, Neighbor: cmp.Or(neighbor, name), Reserve: reserve}
		if gateway != "" {
			w.Gateway = netip.MustParseAddr(gateway)
		}
		_, _ = fmt.Sscan(weight, &w.Weight)
		all = append(all, w)
	}
	return all
}

// way returns the interfaces by which the kernel sends what goes to prefix, with their
// weights and gateways, as in ways; "" is nowhere, and "-" is that there is no route.
func (k *kernel) way(t testing.TB, prefix netip.Prefix) string {
	t.Helper()
	text := k.ip(t, "route show exact "+prefix.String()+" proto bgp")
	if text == "" {
		return "-"
	}
	if strings.HasPrefix(text, "unreachable") {
		return ""
	}
	var names []string
	words := strings.Fields(text)
	for i, w := range words {
		if w == "unreachable" {
			break // the one beneath
		}
		if w == "dev" {
			name := words[i+1]
			if i+3 < len(words) && words[i+2] == "weight" && words[i+3] != "1" {
				name += ":" + words[i+3]
			}
			if i >= 2 && words[i-2] == "via" || i >= 3 && words[i-3] == "via" { // "via inet6 ADDRESS", of IPv4 routes
				name += "*" + words[i-1]
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (k *kernel) wantWay(t testing.TB, want string) {
	t.Helper()
	if got := k.way(t, k.dst); got != want {
		t.Errorf("the kernel sends it to %q, want %q", got, want)
	}
}

// objects returns the numbers of all the kernel's next-hop objects.
func (k *kernel) objects(t testing.TB) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(output(t, "ip", "nexthop")) {
		all = append(all, strings.Fields(line)[1])
	}
	return all
}

func flush(t testing.TB, f *FIB) Result {
	t.Helper()
	r, err := f.Flush(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTwoWays: a prefix moves between one way and several, at no moment is it without a
// route, and objects leave with the last prefix that needs them.
func TestTwoWays(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		f.Apply(Change{Prefix: k.dst, Ways: ways("hopA")})
		flush(t, f)
		if got := k.objects(t); got != nil {
			t.Errorf("objects %v for a prefix with one way", got)
		}
		neverWithout(t, k, 12, func() {
			for _, names := range [][]string{{"hopA", "hopB:3"}, {"hopB:3", "hopC"}, {"hopC"}, {"hopA", "hopC"}, {"hopB:3", "hopA"}, {"hopB"}} {
				f.Apply(Change{Prefix: k.dst, Ways: ways(names...)})
				if r := flush(t, f); r.Installed4+r.Installed6 != 1 || r.Pending != 0 {
					t.Errorf("%+v; want one installed", r)
				}
				slices.Sort(names)
				k.wantWay(t, strings.Join(names, " "))
				before := f.Sent()
				f.mu.Lock()
				f.pic.stale = true
				f.mu.Unlock()
				if flush(t, f); f.Sent() != before {
					t.Errorf("%v: %d messages when nothing has changed", names, f.Sent()-before)
				}
			}
		})
		if got := k.objects(t); got != nil {
			t.Errorf("objects %v are left", got)
		}
	})
}

// TestHopIsOneMessage: however many prefixes share two ways, losing one is one message, and
// none about a route.
func TestHopIsOneMessage(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		const count = 3000
		f := openFIB(t, config())
		for i := range count {
			f.Apply(Change{Prefix: nth(k, i), Ways: ways("hopA", "hopB")})
		}
		f.Apply(Change{Prefix: k.dst, Ways: ways("hopA", "hopB", "hopC")})
		flush(t, f)
		for _, step := range []struct {
			name     string
			hop      Hop
			messages uint64
			want     string
		}{
			{"hopA", Hop{Down: true}, 1, "hopB hopC"},
			{"hopA", Hop{}, 3, "hopA hopB hopC"}, // the object, and two groups
			{"hopB", Hop{Weight: 7}, 2, "hopA hopB:7 hopC"},
			{"hopB", Hop{Weight: 7, Down: true}, 1, "hopA hopC"},
		} {
			witness, err := rtnl.Subscribe(rtnl.Hidden{}, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
			if err != nil {
				t.Fatal(err)
			}
			before := f.Sent()
			f.SetHop(step.name, step.hop)
			if r := flush(t, f); r.Installed4+r.Installed6 != count+1 {
				t.Errorf("%+v: %+v; want all installed", step, r)
			}
			if n := f.Sent() - before; n != step.messages {
				t.Errorf("%+v: %d messages", step, n)
			}
			if step.hop.Down {
				if n, err := witness.Drain(func(h rtnl.Header, _ []byte) {}); n != 0 || err != nil {
					t.Errorf("%+v: %d messages about routes, %v", step, n, err)
				}
			}
			witness.Close()
			k.wantWay(t, step.want)
			if got, want := k.way(t, nth(k, count-1)), strings.TrimSuffix(step.want, " hopC"); got != want {
				t.Errorf("%+v: the last prefix goes to %q, want %q", step, got, want)
			}
		}
	})
}

// TestCarrierTakesObjects: without a carrier the kernel removes an interface's objects, and of
// IPv4 says nothing; the routes come back with it.
func TestCarrierTakesObjects(t *testing.T) {
	for _, compat := range []string{"1", "0"} {
		hops(t, func(t *testing.T, k *kernel) {
			if err := os.WriteFile("/proc/sys/net/ipv4/nexthop_compat_mode", []byte(compat), 0); err != nil {
				t.Fatal(err)
			}
			f := openFIB(t, config())
			f.Apply(Change{Prefix: k.dst, Ways: ways("hopA", "hopB"), Unreachable: true})
			flush(t, f)
			run(t, f)
			status := func(installed, pending int) func() bool {
				return func() bool {
					r, err := f.Status()
					return err == nil && r.Installed4+r.Installed6 == installed && r.Pending == pending
				}
			}
			k.ip(t, "link set hopAx down")
			k.carrier(t, "hopA", false)
			until(t, "a group of one", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.objects.have) == 2 })
			until(t, "installed", status(1, 0))
			k.ip(t, "link set hopBx down")
			until(t, "no way", status(0, 1))
			if got := k.way(t, k.dst); got != "" {
				t.Errorf("it goes to %q, want nowhere", got)
			}
			k.ip(t, "link set hopBx up")
			until(t, "one way", status(1, 0))
			k.ip(t, "link set hopAx up")
			k.carrier(t, "hopA", true)
			until(t, "both ways", func() bool { return len(k.objects(t)) == 3 })
			if compat == "1" {
				until(t, "both in the route", func() bool { return k.way(t, k.dst) == "hopA hopB" })
			}
			k.ip(t, "link del hopA")
			k.ip(t, "link set hopB down")
			until(t, "no way again", status(0, 1))
			k.ip(t, "link set hopB up")
			k.carrier(t, "hopB", true)
			until(t, "one way again", status(1, 0))
		})
	}
}

// TestOthersObjects: objects of others stay, also in our range and with our protocol out of
// it, and what someone does to ours is put right.
func TestOthersObjects(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		foreign := []string{"5", "827900000", "827900001", "827900003"}
		k.ip(t, "nexthop add id 5 dev hopA proto bgp")
		k.ip(t, "nexthop add id 827900000 dev hopA proto static")
		k.ip(t, "nexthop add id 827900001 blackhole proto static")
		f := openFIB(t, config())
		f.Apply(Change{Prefix: k.dst, Ways: ways("hopA", "hopB")})
		k.ip(t, "nexthop add id 827900003 dev hopC proto static")
		flush(t, f)
		k.wantWay(t, "hopA hopB")
		f.mu.Lock()
		ours := slices.Sorted(maps.Keys(f.objects.have))
		f.mu.Unlock()
		if len(ours) != 3 || slices.Contains(ours, 827900003) {
			t.Errorf("our objects are %v", ours)
		}

		run(t, f)
		for _, id := range ours {
			before := f.Sent()
			exec := exec.Command("ip", "nexthop", "del", "id", fmt.Sprint(id))
			if out, err := exec.CombinedOutput(); err != nil {
				t.Logf("%s", out) // it has another number by now
				continue
			}
			until(t, "someone removes an object", func() bool { return f.Sent() > before && k.way(t, k.dst) == "hopA hopB" })
		}
		f.Apply(Change{Prefix: k.dst})
		flush(t, f)
		if got := k.objects(t); !slices.Equal(got, foreign) {
			t.Errorf("left are the objects %v, want %v", got, foreign)
		}
	})
}

// TestKilledWithObjects: what a killed daemon has left is used where it is wanted, and else
// goes.
func TestKilledWithObjects(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		killed := openFIB(t, config())
		changes := []Change{{Prefix: k.dst, Ways: ways("hopA", "hopB:9")}, {Prefix: k.other, Ways: ways("hopB", "hopC")}}
		killed.Apply(changes...)
		flush(t, killed)
		next := openFIB(t, config())
		next.Apply(changes...)
		if flush(t, next); next.Sent() != 0 {
			t.Errorf("%d messages; want all to be used", next.Sent())
		}
		next.Apply(Change{Prefix: k.other})
		flush(t, next)
		k.wantWay(t, "hopA hopB:9")
		if got := len(k.objects(t)); got != 3 {
			t.Errorf("%d objects; want two hops and a group", got)
		}
		last := openFIB(t, config())
		if err := last.Cleanup(t.Context()); err != nil {
			t.Error(err)
		}
		if got := k.objects(t); got != nil || k.way(t, k.dst) != "-" {
			t.Errorf("objects %v and routes %q are left", got, k.way(t, k.dst))
		}
	})
}

// TestSourcesOfGroups: the preferred source belongs to the route, and changes without a
// moment without one.
func TestSourcesOfGroups(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		k.ip(t, "addr add %s dev lo"+k.nodad)
		f := openFIB(t, config())
		f.Apply(Change{Prefix: k.dst, Ways: ways("hopA", "hopB")})
		flush(t, f)
		events := 2
		if k.opt == "-6" {
			events = 4
		}
		neverWithout(t, k, events, func() {
			set := [2]netip.Addr{k.src, {}}
			if k.opt == "-6" {
				set[0], set[1] = set[1], set[0]
			}
			if err := f.SetSources(set[0], set[1]); err != nil {
				t.Fatal(err)
			}
			flush(t, f)
		})
		k.wantWay(t, "hopA hopB")
		if got := k.ip(t, "route show exact %d"); !strings.Contains(got, "src "+k.src.String()) {
			t.Errorf("the kernel has %s", got)
		}
	})
}

// TestNoObjects: a kernel without has the first way that can be used.
func TestNoObjects(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		f, err := open(config(), true)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		f.Apply(Change{Prefix: k.dst, Ways: ways("hopB", "hopA")})
		flush(t, f)
		k.wantWay(t, "hopB")
		neverWithout(t, k, 2, func() {
			f.SetHop("hopB", Hop{Down: true})
			flush(t, f)
		})
		k.wantWay(t, "hopA")
		neverWithout(t, k, 6, func() {
			f.SetHop("hopB", Hop{})
			f.Apply(Change{Prefix: k.dst, Ways: ways("~hopA", "hopC", "~hopB")}) // also if the order is wrong
			flush(t, f)
			k.wantWay(t, "hopC")
			f.SetHop("hopC", Hop{Down: true})
			flush(t, f)
			k.wantWay(t, "hopA")
			f.SetHop("hopC", Hop{})
			flush(t, f)
			k.wantWay(t, "hopC")
		})
		if got := k.objects(t); got != nil {
			t.Errorf("objects %v", got)
		}
	})
}
