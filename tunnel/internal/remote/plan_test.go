package remote

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func addrs(all ...string) (as []netip.AddrPort) {
	for _, a := range all {
		as = append(as, netip.MustParseAddrPort(a))
	}
	return as
}

func TestBookGrows(t *testing.T) {
	var b Book
	a, now := addrs("192.0.2.1:443")[0], time.Unix(1_000_000, 0)
	if b.IsBad(a, now) {
		t.Error("bad from the start")
	}
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		b.Failed(a, now)
		b.Failed(a, now) // as nothing better was there
		if !b.IsBad(a, now.Add(want*time.Second-1)) || b.IsBad(a, now.Add(want*time.Second)) {
			t.Errorf("not bad for %d s: %+v", want, b.failures[a])
		}
		now = now.Add(want * time.Second)
	}
	b.Ended(a, time.Second, now) // up for a moment: flapping
	if !b.IsBad(a, now.Add(maxPenalty-1)) {
		t.Error("a flapping address is forgiven")
	}
	b.Ended(a, lasting, now)
	if b.IsBad(a, now.Add(firstPenalty)) || !b.IsBad(a, now.Add(firstPenalty-1)) {
		t.Errorf("after a tunnel that lasted: %+v", b.failures[a])
	}
	for i := range 2 * maxRemembered {
		b.Failed(netip.AddrPortFrom(a.Addr(), uint16(1000+i)), now)
	}
	if len(b.failures) > maxRemembered {
		t.Errorf("%d remembered", len(b.failures))
	}
}

// fakeNames answers with the addresses of a name, with an error, or not at all.
type fakeNames map[string][]netip.AddrPort

func (f fakeNames) resolve(ctx context.Context, _, remote string) ([]netip.AddrPort, error) {
	if as, ok := f[remote]; ok {
		return as, nil
	}
	if remote == "never:1" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, errors.New("no such name")
}

func TestPlan(t *testing.T) {
	names := fakeNames{
		"a:1": addrs("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "[2001:db8::1]:1"),
		"b:1": addrs("192.0.2.9:1"),
	}
	p := Plan{Remotes: []string{"a:1", "x:1", "b:1"}, Patience: time.Minute, Resolve: names.resolve}
	var errs []error
	groups := func(b *Book) []Group {
		errs = nil
		return slices.Collect(p.Groups(t.Context(), b, func(err error) { errs = append(errs, err) }))
	}
	equal := func(a, b []Group) bool {
		return slices.EqualFunc(a, b, func(a, b Group) bool { return a.Remote == b.Remote && slices.Equal(a.Addrs, b.Addrs) })
	}
	var b Book
	want := []Group{{0, addrs("192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1", "192.0.2.3:1")}, {2, addrs("192.0.2.9:1")}}
	if got := groups(&b); !equal(got, want) || len(errs) != 1 {
		t.Errorf("%v, %v", got, errs)
	}
	b.Failed(netip.MustParseAddrPort("192.0.2.1:1"), time.Now())
	want = []Group{{0, addrs("[2001:db8::1]:1", "192.0.2.2:1", "192.0.2.3:1")}, {2, addrs("192.0.2.9:1")}, {0, addrs("192.0.2.1:1")}}
	if got := groups(&b); !equal(got, want) {
		t.Errorf("with a bad one: %v", got)
	}
	for _, a := range slices.Concat(names["a:1"], names["b:1"]) {
		b.Failed(a, time.Now())
	}
	if got := groups(&b); len(got) != 2 || len(got[0].Addrs) != 4 || got[1].Remote != 2 {
		t.Errorf("all bad: %v", got)
	}
	p.Random = true
	first := make(map[int]bool)
	for range 1000 {
		first[groups(&Book{})[0].Remote] = true
	}
	if len(first) != 2 {
		t.Errorf("at random, first were %v", first)
	}
}

// An address that is to be the first is tried before anything is looked up, bad as it may be, and then no more. The others stay as
// they are.
func TestPlanBeginsWithFirst(t *testing.T) {
	names := fakeNames{"a:1": addrs("192.0.2.1:1", "192.0.2.2:1"), "b:1": addrs("192.0.2.8:1", "192.0.2.9:1")}
	looked := make(chan struct{})
	p := Plan{Remotes: []string{"a:1", "b:1"}, Patience: time.Minute, First: &Group{1, addrs("192.0.2.9:1")},
		Resolve: func(ctx context.Context, network, remote string) ([]netip.AddrPort, error) {
			<-looked
			return names.resolve(ctx, network, remote)
		}}
	var b Book
	b.Failed(netip.MustParseAddrPort("192.0.2.1:1"), time.Now())
	b.Failed(netip.MustParseAddrPort("192.0.2.9:1"), time.Now())
	want := []Group{{1, addrs("192.0.2.9:1")}, {0, addrs("192.0.2.2:1")}, {1, addrs("192.0.2.8:1")}, {0, addrs("192.0.2.1:1")}}
	for g := range p.Groups(t.Context(), &b, func(err error) { t.Error(err) }) {
		if len(want) == 0 || g.Remote != want[0].Remote || !slices.Equal(g.Addrs, want[0].Addrs) {
			t.Fatalf("%v, then want %v", g, want)
		}
		if len(want) == 4 {
			close(looked)
		}
		want = want[1:]
	}
	if len(want) > 0 {
		t.Errorf("%v missing", want)
	}
}

// A name server that says nothing of one remote keeps nobody from the next.
func TestPlanGoesOnWithoutDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // on a busy machine the other one's answer may take longer than that, too
		p := Plan{Remotes: []string{"never:1", "b:1"}, Patience: time.Millisecond, Resolve: fakeNames{"b:1": addrs("192.0.2.9:1")}.resolve}
		for g := range p.Groups(t.Context(), &Book{}, func(err error) { t.Error(err) }) {
			if g.Remote != 1 {
				t.Errorf("%v", g)
			}
			break
		}
	})
}

// A name that cannot be looked up any more has the addresses that it had last, until it can again; what is wrong is told. One
// that never could has none.
func TestPlanGoesOnWithOldAddresses(t *testing.T) {
	answers := fakeNames{"a:1": addrs("192.0.2.1:1"), "b:1": addrs("192.0.2.9:1")}
	var names Names
	groups := func() (all []Group, errs int) {
		p := Plan{Remotes: []string{"a:1", "b:1", "x:1"}, Patience: time.Minute, Resolve: names.Resolver(answers.resolve)}
		return slices.Collect(p.Groups(t.Context(), &Book{}, func(error) { errs++ })), errs
	}
	expect := func(wantErrs int, want ...string) {
		t.Helper()
		var got []netip.AddrPort
		all, errs := groups()
		for _, g := range all {
			got = append(got, g.Addrs...)
		}
		if !slices.Equal(got, addrs(want...)) || errs != wantErrs {
			t.Errorf("%v, %d errors; want %v, %d", got, errs, want, wantErrs)
		}
	}
	expect(1, "192.0.2.1:1", "192.0.2.9:1")
	delete(answers, "a:1")
	expect(2, "192.0.2.1:1", "192.0.2.9:1")
	delete(answers, "b:1")
	expect(3, "192.0.2.1:1", "192.0.2.9:1")
	answers["a:1"] = addrs("192.0.2.2:1")
	expect(2, "192.0.2.2:1", "192.0.2.9:1")
}
