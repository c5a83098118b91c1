//go:build privileged

package fib

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// TestReserveIsConstant: while a used way can be used the reserve is not in the kernel at
// all; a switch to it and back is a constant number of messages, whatever the number of
// prefixes, and none is about a route.
func TestReserveIsConstant(t *testing.T) {
	for _, compat := range []string{"1", "0"} {
		hops(t, func(t *testing.T, k *kernel) {
			if err := os.WriteFile("/proc/sys/net/ipv4/nexthop_compat_mode", []byte(compat), 0); err != nil {
				t.Fatal(err)
			}
			const count = 1000
			f := openFIB(t, config())
			for i := range count {
				f.Apply(Change{Prefix: nth(k, i), Ways: ways("hopA", "~hopB:9", "~hopC")})
			}
			flush(t, f)
			for _, step := range []struct {
				name     string
				say      any // Hop, or whether it is late
				messages uint64
				want     string
			}{
				{"hopB", Hop{Down: true}, 0, "hopA"},
				{"hopB", Hop{}, 0, "hopA"},
				{"hopA", Hop{Weight: 3}, 0, "hopA"},  // of a single one it means nothing
				{"hopA", Hop{Down: true}, 3, "hopB"}, // the reserve's object, the group, and the other object goes
				{"hopB", Hop{Down: true}, 3, "hopC"},
				{"hopB", Hop{}, 3, "hopB"},
				{"hopA", Hop{}, 3, "hopA"},
				{"hopA", true, 3, "hopB"},
				{"hopB", true, 3, "hopC"},
				{"hopC", true, 3, "hopA"}, // there is none that is not late
				{"hopC", false, 3, "hopC"},
				{"hopB", false, 3, "hopB"},
				{"hopA", false, 3, "hopA"},
			} {
				before, group := f.Sent(), k.group(t)
				changed, gone := k.routeEvents(t, func() {
					if h, ok := step.say.(Hop); ok {
						f.SetHop(step.name, h)
					} else {
						f.SetLate(step.name, step.say.(bool))
					}
					if r := flush(t, f); r.Installed4+r.Installed6 != count {
						t.Errorf("%+v: %+v; want all installed", step, r)
					}
				})
				if n := f.Sent() - before; n != step.messages {
					t.Errorf("%+v: %d messages", step, n)
				}
				// In the kernel's default mode it sends an event for each route of a changed group.
				if gone != 0 || compat == "0" && changed != 0 || changed > count {
					t.Errorf("%+v: %d routes went, %d changed", step, gone, changed)
				}
				if got := k.members(t); !slices.Equal(got, []string{step.want}) {
					t.Errorf("%+v: the objects lead to %v", step, got)
				}
				if got := k.group(t); got != group {
					t.Errorf("%+v: the group was %s and is %s", step, group, got)
				}
				k.wantWayOf(t, compat, nth(k, count-1), step.want)
			}
		})
	}
}

// TestKernelTakesUsedWay: where the kernel itself takes the objects of the only used way, the
// group and its routes go too (for IPv4 without an event), and come back by the reserve; as
// the interface returns, so do they.
func TestKernelTakesUsedWay(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		const count = 300
		f := openFIB(t, config())
		for i := range count {
			f.Apply(Change{Prefix: nth(k, i), Ways: ways("hopA", "~hopB")})
		}
		flush(t, f)
		run(t, f)
		// Nothing but the kernel's event of the link leads to what follows: the next look that
		// is due is a minute away, and the test has less patience.
		all := func(name string) func() bool {
			return func() bool {
				r, err := f.Status()
				if err != nil {
					t.Fatal(err)
				}
				return r.Installed4+r.Installed6 == count && slices.Equal(k.members(t), []string{name}) &&
					k.way(t, nth(k, 0)) == name && k.way(t, nth(k, count-1)) == name
			}
		}
		until(t, "the used way", all("hopA"))
		for _, c := range []struct{ take, give string }{
			{"link set hopAx down", "link set hopAx up"},
			{"link set hopA down", "link set hopA up"},
			{"link set hopA name hopD", "link set hopD name hopA"},
			{"link del hopA", "link add name hopA up type veth peer name hopAx"},
		} {
			k.ip(t, c.take)
			until(t, c.take+": the reserve", all("hopB"))
			k.ip(t, c.give)
			if strings.HasPrefix(c.take, "link del") {
				k.ip(t, "link set hopAx up")
			}
			before := k.group(t)
			until(t, c.give+": the used way", all("hopA"))
			if got := k.group(t); got != before {
				t.Errorf("%s: the group was %s and is %s", c.give, before, got)
			}
		}
	})
}

// TestKilledWithReserve: the groups of a killed daemon are taken over as they are, also where
// sets differ in nothing but what is in reserve, and whatever their order is.
func TestKilledWithReserve(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		killed := openFIB(t, config())
		first, second := Change{Prefix: k.dst, Ways: ways("hopA", "~hopC")}, Change{Prefix: k.other, Ways: ways("hopA", "~hopB")}
		killed.Apply(first)
		flush(t, killed)
		killed.Apply(second)
		flush(t, killed)
		next := openFIB(t, config())
		next.Apply(first, second)
		if flush(t, next); next.Sent() != 0 {
			t.Errorf("%d messages; want all to be used", next.Sent())
		}
		next.SetHop("hopA", Hop{Down: true})
		if flush(t, next); next.Sent() != 5 {
			t.Errorf("%d messages; want two objects, two groups, and one object that goes", next.Sent())
		}
		k.wantWay(t, "hopC")
		// What was killed while it used the reserve is taken over too.
		last := openFIB(t, config())
		last.SetHop("hopA", Hop{Down: true})
		last.Apply(first, second)
		if flush(t, last); last.Sent() != 0 {
			t.Errorf("%d messages after a switch; want all to be used", last.Sent())
		}
		// Another reserve of the same used way is no change of a route.
		last.SetHop("hopA", Hop{})
		flush(t, last)
		changed, gone := k.routeEvents(t, func() {
			last.Apply(Change{Prefix: k.dst, Ways: ways("hopA", "~hopB:2", "~hopC")})
			flush(t, last)
		})
		if changed+gone != 0 {
			t.Errorf("%d routes changed and %d went as the reserve changed", changed, gone)
		}
		if err := last.Cleanup(t.Context()); err != nil {
			t.Error(err)
		}
		if got := k.objects(t); got != nil || k.way(t, k.dst) != "-" {
			t.Errorf("objects %v and routes %q are left", got, k.way(t, k.dst))
		}
	})
}

// TestReserveThatFails: the object of the used way does not go before the reserve is in the
// group, also where it takes more than one try: the group, and its route, stay.
func TestReserveThatFails(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		f := openFIB(t, config())
		f.Apply(Change{Prefix: k.dst, Ways: ways("hopA", "~hopB")})
		flush(t, f)
		group := k.group(t)
		f.mu.Lock()
		next := f.objects.next
		f.mu.Unlock()
		k.ip(t, fmt.Sprintf("nexthop add id %d blackhole proto static", next))
		f.mu.Lock()
		if _, err := f.drainLocked(); err != nil {
			t.Error(err)
		}
		f.objects.stale = false // as if the event were still to come
		f.mu.Unlock()
		changed, gone := k.routeEvents(t, func() {
			f.SetHop("hopA", Hop{Down: true})
			flush(t, f)
		})
		if got := k.group(t); got != group || gone != 0 || changed > 1 {
			t.Errorf("the group was %s and is %s; %d routes went, %d changed", group, got, gone, changed)
		}
		k.wantWay(t, "hopB")
	})
}

// wantWayOf is wantWay of any prefix, where ip(8) can tell.
func (k *kernel) wantWayOf(t testing.TB, compat string, prefix netip.Prefix, want string) {
	t.Helper()
	got, _, _ := strings.Cut(k.way(t, prefix), ":") // the weight of a single way means nothing
	if compat == "1" && got != want {
		t.Errorf("the kernel sends it to %q, want %q", got, want)
	}
}

// routeEvents counts the events of owned routes while f runs: those that say that one is new or
// another, and those that say that one is gone.
func (k *kernel) routeEvents(t testing.TB, f func()) (changed, gone int) {
	t.Helper()
	witness, err := rtnl.Subscribe(rtnl.Hidden{}, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	f()
	const protocolAt = 5 // in struct rtmsg; the kernel's own routes, of its IPv6 addresses, come when they like
	_, err = witness.Drain(func(h rtnl.Header, b []byte) {
		switch {
		case len(b) <= protocolAt || b[protocolAt] != uint8(config().Protocol):
		case h.Type == unix.RTM_DELROUTE:
			gone++
		default:
			changed++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return changed, gone
}

// members returns the interfaces of all the kernel's next-hop objects.
func (k *kernel) members(t testing.TB) (names []string) {
	t.Helper()
	for line := range strings.Lines(output(t, "ip", "nexthop")) {
		words := strings.Fields(line)
		if i := slices.Index(words, "dev"); i >= 0 {
			names = append(names, words[i+1])
		}
	}
	slices.Sort(names)
	return names
}

// group returns the number of the only group.
func (k *kernel) group(t testing.TB) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(output(t, "ip", "nexthop", "show", "groups")), "\n")
	if len(lines) != 1 || lines[0] == "" {
		t.Fatalf("the groups are %q", lines)
	}
	return strings.Fields(lines[0])[1]
}

func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
