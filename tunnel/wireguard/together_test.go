package wireguard

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"warren/tunnel/internal/remote"
)

func (f *fleet) at(i int) netip.AddrPort { return netip.MustParseAddrPort(f.wires[i].addr) }

// Of several routers the one is looked for alone that the other transport has found, from the start or when it is known, and where one of
// the others is up already when that is left. When the other transport is nowhere all are looked for again.
func TestGoesWhereTheOtherTransportIs(t *testing.T) {
	t.Parallel()
	f := newFleetWith(t, 4, 4, 5*time.Second)
	a := f.client.prepare(f.cfg)
	a.l.Join(f.at(2))
	a.stop = f.client.run(a.l.Run)
	if ev := a.next(true); ev.Remote != f.at(2) {
		t.Fatalf("up at %v, want %v", ev.Remote, f.at(2))
	}
	f.servers[2].next(true)
	a.l.Join(f.at(3))
	a.reaches(f.servers[2])
	a.l.Leave()
	a.next(false)
	if ev := a.next(true); ev.Remote != f.at(3) {
		t.Errorf("after it was left: up at %v, want %v", ev.Remote, f.at(3))
	}
	f.servers[3].next(true)
	a.l.Leave() // there is no other place to go to
	a.reaches(f.servers[3])
	if len(a.events) > 0 {
		t.Errorf("%+v", <-a.events)
	}
	f.servers[3].stop()
	a.next(false)
	select { // two rounds
	case ev := <-a.events:
		t.Errorf("%+v, where the other transport is not", ev)
	case <-time.After(7 * time.Second):
	}
	a.l.Join(netip.AddrPort{})
	if ev := a.next(true); ev.Remote == f.at(3) {
		t.Errorf("up at %v, which is gone", ev.Remote)
	}
}

// What is found first is not tried while the place where the other transport is may still be looked up.
func TestPlaceIsLookedUpLater(t *testing.T) {
	t.Parallel()
	f := newFleetWith(t, 2, 2, 5*time.Second)
	l := f.client.prepare(f.cfg).l
	l.Join(f.at(1))
	now := time.Now()
	all := []remote.Group{{Remote: 0, Addrs: []netip.AddrPort{f.at(0)}}, {Remote: 1, Addrs: []netip.AddrPort{f.at(1)}}}
	l.found(now, resolved{groups: all[:1]})
	if due := l.attemptDue(now); !due.IsZero() {
		t.Errorf("an attempt is due at %v", due)
	}
	l.found(now, resolved{groups: all, done: true})
	if l.tryNext(now); !slices.Equal(l.tries.at, all[1].Addrs) {
		t.Errorf("it is tried at %v", l.tries.at)
	}
}

// Nor is what was of no use lately tried before what was, when it becomes known where the other transport is.
func TestRestOfARound(t *testing.T) {
	at := func(i int, a string) remote.Group {
		return remote.Group{Remote: i, Addrs: []netip.AddrPort{netip.MustParseAddrPort(a)}}
	}
	f := newFleetWith(t, 1, 1, 5*time.Second)
	l, now := f.client.prepare(f.cfg).l, time.Now()
	first, bad, good := at(0, "[2001:db8::1]:443"), at(1, "[2001:db8::1]:444"), at(1, "192.0.2.1:444")
	l.tries.groups = []remote.Group{first, {Remote: 1, Addrs: slices.Concat(bad.Addrs, good.Addrs)}}
	l.tries.at = first.Addrs
	l.tries.book.Failed(bad.Addrs[0], now)
	l.Join(netip.MustParseAddrPort("[2001:db8::1]:50000"))
	l.tryJoin(now)
	is := func(a, b remote.Group) bool { return a.Remote == b.Remote && slices.Equal(a.Addrs, b.Addrs) }
	if want := []remote.Group{good, bad}; !slices.EqualFunc(l.tries.queue, want, is) {
		t.Errorf("next are %v, want %v", l.tries.queue, want)
	}
}

func TestOnlyPlaces(t *testing.T) {
	group := func(i int, all ...string) remote.Group {
		g := remote.Group{Remote: i}
		for _, a := range all {
			g.Addrs = append(g.Addrs, netip.MustParseAddrPort(a))
		}
		return g
	}
	l := &Link{}
	l.tries.groups = []remote.Group{
		group(0, "192.0.2.1:443", "[2001:db8::1]:443", "192.0.2.2:443"), group(1, "192.0.2.3:443"), group(2, "192.0.2.3:444"),
	}
	for at, want := range map[string][]remote.Group{
		"192.0.2.1:443":          {group(0, "192.0.2.1:443"), group(0, "[2001:db8::1]:443")},
		"192.0.2.1:8443":         {group(0, "192.0.2.1:443"), group(0, "[2001:db8::1]:443")}, // udp_port is another
		"[2001:db8::1]:443":      {group(0, "[2001:db8::1]:443"), group(0, "192.0.2.1:443", "192.0.2.2:443")},
		"192.0.2.3:444":          {group(2, "192.0.2.3:444")},
		"[::ffff:192.0.2.3]:443": {group(1, "192.0.2.3:443")},
		"192.0.2.3:50000":        {group(1, "192.0.2.3:443"), group(2, "192.0.2.3:444")}, // the peer has dialed
		"192.0.2.9:443":          nil,
	} {
		l.beside = netip.MustParseAddrPort(at)
		if got := l.only(); !slices.EqualFunc(got, want, func(a, b remote.Group) bool { return a.Remote == b.Remote && slices.Equal(a.Addrs, b.Addrs) }) {
			t.Errorf("at %s: %v, want %v", at, got, want)
		}
	}
	l.beside = netip.AddrPort{}
	if got := l.only(); got != nil {
		t.Errorf("nowhere: %v", got)
	}
}

// Where UDP to the address at which the other transport is was of no use lately, it is tried in the other family first.
func TestDeadFamilyIsTriedLast(t *testing.T) {
	at := func(all ...string) remote.Group {
		g := remote.Group{}
		for _, a := range all {
			g.Addrs = append(g.Addrs, netip.MustParseAddrPort(a))
		}
		return g
	}
	l, now := &Link{}, time.Now()
	six, four := at("[2001:db8::1]:443"), at("192.0.2.1:443")
	l.tries.groups = []remote.Group{at("[2001:db8::1]:443", "192.0.2.1:443"), {Remote: 1, Addrs: at("192.0.2.9:443").Addrs}}
	l.beside = six.Addrs[0]
	is := func(what string, want ...remote.Group) {
		t.Helper()
		if got := l.order(now); !slices.EqualFunc(got, want, func(a, b remote.Group) bool { return a.Remote == b.Remote && slices.Equal(a.Addrs, b.Addrs) }) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	is("at first", six, four)
	l.tries.book.Failed(six.Addrs[0], now)
	is("in vain", four, six)
	l.tries.book.Failed(four.Addrs[0], now)
	is("both in vain", six, four)
	now = now.Add(time.Hour)
	is("after a while", six, four)
}
