//go:build privileged

package fib

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

const movedRoutes = 3 * manyRoutes

// moving is a FIB the group of which has many routes.
type moving struct {
	*FIB
	k    *kernel
	left []dirty // of a write that is under way
}

// openMoving writes many routes by a set of ways, before which it is prepared.
func openMoving(t *testing.T, k *kernel, all []Way, prepare func(*FIB)) *moving {
	t.Helper()
	m := &moving{FIB: openFIB(t, config()), k: k}
	prepare(m.FIB)
	for i := range movedRoutes {
		m.Apply(Change{Prefix: nth(k, i), Ways: all})
	}
	flush(t, m.FIB)
	return m
}

// write writes one batch of what is queued.
func (m *moving) write(t *testing.T) {
	t.Helper()
	if len(m.left) == 0 {
		var err error
		if m.left, _, err = m.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n, err := m.writeBatch(m.left)
	if err != nil {
		t.Fatal(err)
	}
	m.left = m.left[n:]
}

// moved is how many routes have the group that they are to have.
func (m *moving) moved(t *testing.T) int {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, of := range m.sets.all {
		for _, id := range of.group {
			if id != 0 {
				n += m.pic.onHop[id]
			}
		}
	}
	return n
}

// finish writes the rest, and shows that all routes have one group with these members.
func (m *moving) finish(t *testing.T, members ...string) {
	t.Helper()
	for len(m.left) > 0 {
		m.write(t)
	}
	if r := flush(t, m.FIB); r.Installed4+r.Installed6 != movedRoutes {
		t.Errorf("%+v; want all installed", r)
	}
	if got := m.k.members(t); !slices.Equal(got, members) {
		t.Errorf("the objects lead to %v, want %v", got, members)
	}
	m.k.group(t)
	if got := m.k.routed(t); got != movedRoutes {
		t.Errorf("%d of %d prefixes have a route", got, movedRoutes)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pic.count != movedRoutes {
		t.Errorf("the picture has %d routes", m.pic.count)
	}
	for _, of := range m.sets.all {
		if len(of.left[0])+len(of.left[1]) > 0 {
			t.Errorf("still leaving %v", of.left)
		}
	}
}

// routed counts the prefixes that have a route of ours.
func (k *kernel) routed(t *testing.T) int {
	t.Helper()
	have := map[string]bool{}
	for line := range strings.Lines(k.ip(t, "route show proto bgp")) {
		if words := strings.Fields(line); !strings.HasPrefix(line, "\t") && words[0] != "nexthop" {
			have[words[0]] = true
		}
	}
	return len(have)
}

// TestReturnMoves: a way that comes back to many routes makes a new group, to which they move in batches, if the
// kernel would send an event for each; and at no moment is one of them without a route.
func TestReturnMoves(t *testing.T) {
	for _, compat := range []string{"1", "0"} {
		hops(t, func(t *testing.T, k *kernel) {
			m := openMoving(t, k, ways("hopA", "hopB"), func(f *FIB) { f.SetLate("hopB", true) })
			if err := os.WriteFile(compatFile, []byte(compat), 0); err != nil {
				t.Fatal(err)
			}
			before, group := m.Sent(), k.group(t)
			m.SetLate("hopB", false)
			if compat == "0" {
				m.finish(t, "hopA", "hopB")
				if n := m.Sent() - before; n != 2 || k.group(t) != group { // the object, and the group
					t.Errorf("%d messages, and the group was %s and is %s", n, group, k.group(t))
				}
				return
			}
			for m.write(t); m.moved(t) < movedRoutes; {
				here := k.watch(t, func() { m.write(t) })
				for prefix, n := range here {
					if n != 0 {
						t.Fatalf("%v: %+d routes", prefix, n)
					}
				}
			}
			m.finish(t, "hopA", "hopB")
			// The object, the new group and the end of the old one; and each route comes and goes.
			if n := m.Sent() - before; n != 3+2*movedRoutes || k.group(t) == group {
				t.Errorf("%d messages, and the group was %s and is %s", n, group, k.group(t))
			}
			if err := m.Cleanup(t.Context()); err != nil {
				t.Error(err)
			}
			if got := k.objects(t); got != nil {
				t.Errorf("objects %v are left", got)
			}
		})
	}
}

// watch counts by how many routes each prefix has more than before f; one that ever has fewer is an error.
func (k *kernel) watch(t *testing.T, f func()) map[netip.Prefix]int {
	t.Helper()
	witness, err := rtnl.Subscribe(rtnl.Hidden{}, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	f()
	more := map[netip.Prefix]int{}
	_, err = witness.Drain(func(h rtnl.Header, b []byte) {
		r, ok := rtnl.ParseRoute(b)
		switch {
		case !ok || r.Protocol != uint8(config().Protocol):
		case h.Type == unix.RTM_NEWROUTE && h.Flags&unix.NLM_F_REPLACE != 0:
			t.Errorf("an event for each route of a group: %v", r.Prefix)
		case h.Type == unix.RTM_NEWROUTE:
			more[r.Prefix]++
		default:
			if more[r.Prefix]--; more[r.Prefix] < 0 {
				t.Errorf("%v is without a route", r.Prefix)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return more
}

// TestMemberDiesWhileMoving: a way that dies, or is late, while routes move takes no packets from the next batch on, by
// whichever group; and no route goes with it.
func TestMemberDiesWhileMoving(t *testing.T) {
	for name, c := range map[string]struct {
		ways  []string
		first func(*FIB) // after it the group has the first way alone
		back  func(*FIB)
		dies  func(*FIB)
		want  []string
	}{
		"the one that was there": {
			[]string{"hopA", "hopB"},
			func(f *FIB) { f.SetHop("hopB", Hop{Down: true}) }, func(f *FIB) { f.SetHop("hopB", Hop{}) },
			func(f *FIB) { f.SetHop("hopA", Hop{Down: true}) }, []string{"hopB"},
		},
		"the one that has come": {
			[]string{"hopA", "hopB"},
			func(f *FIB) { f.SetHop("hopB", Hop{Down: true}) }, func(f *FIB) { f.SetHop("hopB", Hop{}) },
			func(f *FIB) { f.SetHop("hopB", Hop{Down: true}) }, []string{"hopA"},
		},
		"late": {
			[]string{"hopA", "hopB"},
			func(f *FIB) { f.SetLate("hopB", true) }, func(f *FIB) { f.SetLate("hopB", false) },
			func(f *FIB) { f.SetLate("hopA", true) }, []string{"hopB"},
		},
		"the reserve that traffic leaves": {
			[]string{"hopA", "~hopB"},
			func(f *FIB) { f.SetHop("hopA", Hop{Down: true}) }, func(f *FIB) { f.SetHop("hopA", Hop{}) },
			func(f *FIB) { f.SetHop("hopB", Hop{Down: true}) }, []string{"hopA"},
		},
		"the way that leaves the reserve": {
			[]string{"hopA", "~hopB"},
			func(f *FIB) { f.SetHop("hopA", Hop{Down: true}) }, func(f *FIB) { f.SetHop("hopA", Hop{}) },
			func(f *FIB) { f.SetHop("hopA", Hop{Down: true}) }, []string{"hopB"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			hops(t, func(t *testing.T, k *kernel) {
				m := openMoving(t, k, ways(c.ways...), c.first)
				c.back(m.FIB)
				m.write(t)
				if got := k.members(t); !slices.Equal(got, []string{"hopA", "hopB"}) {
					t.Fatalf("the objects lead to %v", got)
				}
				c.dies(m.FIB)
				m.write(t)
				lead := map[string]bool{}
				for line := range strings.Lines(k.ip(t, "route show proto bgp")) {
					for _, name := range []string{"hopA", "hopB"} {
						if strings.Contains(line, "dev "+name+" ") {
							lead[name] = true
						}
					}
				}
				if len(lead) != 1 || !lead[c.want[0]] {
					t.Errorf("routes lead to %v, want %v", lead, c.want)
				}
				if got := k.routed(t); got != movedRoutes {
					t.Errorf("%d of %d prefixes have a route", got, movedRoutes)
				}
				m.finish(t, c.want...)
			})
		})
	}
}

// TestSecondReturnWhileMoving: a third way comes back while many routes have moved and many have not.
func TestSecondReturnWhileMoving(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		m := openMoving(t, k, ways("hopA", "hopB", "hopC"), func(f *FIB) {
			f.SetHop("hopB", Hop{Down: true})
			f.SetHop("hopC", Hop{Down: true})
		})
		m.SetHop("hopB", Hop{})
		for m.write(t); m.moved(t) <= manyRoutes; {
			m.write(t)
		}
		m.SetHop("hopC", Hop{})
		m.write(t)
		if n := strings.Count(output(t, "ip", "nexthop", "show", "groups"), "\n"); n != 3 {
			t.Errorf("%d groups", n)
		}
		m.SetHop("hopA", Hop{Down: true}) // which the first group had alone
		m.write(t)
		if got := k.routed(t); got != movedRoutes {
			t.Errorf("%d of %d prefixes have a route", got, movedRoutes)
		}
		m.finish(t, "hopB", "hopC")
	})
}

// TestKernelTakesGroupWhileMoving: the interface to which routes move goes down, and the kernel removes the new
// group; the set goes on with the old one.
func TestKernelTakesGroupWhileMoving(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		m := openMoving(t, k, ways("hopA", "~hopB"), func(f *FIB) { f.SetHop("hopA", Hop{Down: true}) })
		group := k.group(t)
		m.SetHop("hopA", Hop{})
		m.write(t)
		k.ip(t, "link set hopA down")
		run(t, m.FIB) // it has not got what m.left has yet
		m.mu.Lock()
		for _, d := range m.left {
			m.dirty = append(m.dirty, d.entry)
		}
		m.left = nil
		m.mu.Unlock()
		until(t, "all by the reserve", func() bool {
			m.mu.Lock()
			n := m.pic.count
			m.mu.Unlock()
			return n == movedRoutes && slices.Equal(k.members(t), []string{"hopB"}) && k.routed(t) == movedRoutes
		})
		if got := k.group(t); got != group {
			t.Errorf("the group was %s and is %s", group, got)
		}
		m.finish(t, "hopB")
	})
}

// TestKilledWhileMoving: what a daemon leaves that is killed while routes move is moved on, without a moment
// without a route, or removed.
func TestKilledWhileMoving(t *testing.T) {
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprint(again), func(t *testing.T) {
			hops(t, func(t *testing.T, k *kernel) {
				m := openMoving(t, k, ways("hopA", "hopB"), func(f *FIB) { f.SetHop("hopB", Hop{Down: true}) })
				m.SetHop("hopB", Hop{})
				for m.write(t); m.moved(t) <= movedRoutes*3/4; {
					m.write(t)
				}
				moved := uint64(m.moved(t))
				next := openFIB(t, config())
				if !again {
					if err := next.Cleanup(t.Context()); err != nil {
						t.Error(err)
					}
					if got := k.objects(t); got != nil || k.routed(t) != 0 {
						t.Errorf("left are %d routes and objects %v", k.routed(t), got)
					}
					return
				}
				for i := range movedRoutes {
					next.Apply(Change{Prefix: nth(k, i), Ways: ways("hopA", "hopB")})
				}
				k.watch(t, func() { flush(t, next) })
				if n := next.Sent(); n != 1+2*(movedRoutes-moved) { // the old group goes
					t.Errorf("%d messages; %d routes had moved", n, moved)
				}
				(&moving{FIB: next, k: k}).finish(t, "hopA", "hopB")
			})
		})
	}
}

// TestChangeWhileMoving: a prefix that changes while routes move does not wait until all of them have.
func TestChangeWhileMoving(t *testing.T) {
	hops(t, func(t *testing.T, k *kernel) {
		m := openMoving(t, k, ways("hopA", "hopB"), func(f *FIB) { f.SetLate("hopB", true) })
		m.SetLate("hopB", false)
		m.write(t)
		m.Apply(Change{Prefix: k.dst, Ways: ways("hopC")})
		for k.way(t, k.dst) != "hopC" {
			m.write(t)
		}
		if n := m.moved(t); n > movedRoutes/2 {
			t.Errorf("%d routes have moved first", n)
		}
		m.Apply(Change{Prefix: k.dst})
		m.finish(t, "hopA", "hopB")
	})
}
