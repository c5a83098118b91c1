//go:build privileged

package fib

import (
	"context"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"warren/internal/netns"
)

// bothFamilies runs one test for both, each in a namespace of its own with three
// interfaces that are up.
func bothFamilies(t *testing.T, f func(t *testing.T, k *kernel)) {
	for _, k := range []kernel{
		{opt: "-4", dst: netip.MustParsePrefix("10.9.0.0/16"), other: netip.MustParsePrefix("10.8.0.0/16"), src: netip.MustParseAddr("192.0.2.1")},
		{opt: "-6", nodad: " nodad", dst: netip.MustParsePrefix("2001:db8:9::/48"), other: netip.MustParsePrefix("2001:db8:8::/48"), src: netip.MustParseAddr("2001:db8::1")},
	} {
		t.Run(k.opt, func(t *testing.T) {
			netns.Test(t)
			for _, name := range []string{"tunA", "tunB", "tunC"} {
				k.ip(t, "tuntap add mode tun name "+name)
				k.ip(t, "link set up dev "+name)
			}
			f(t, &k)
		})
	}
}

// kernel is the kernel of the test's namespace, seen through ip(8).
type kernel struct {
	opt        string // -4 or -6
	dst, other netip.Prefix
	src        netip.Addr
	nodad      string // word for an address that may be used at once
}

// ip runs the command, with %d and %o for the two prefixes, %s for the source.
func (k *kernel) ip(t testing.TB, args string) string {
	t.Helper()
	args = strings.NewReplacer("%d", k.dst.String(), "%o", k.other.String(), "%s", k.src.String()).Replace(args)
	out, err := exec.Command("ip", strings.Fields(k.opt+" "+args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s %s: %v\n%s", k.opt, args, err, out)
	}
	return string(out)
}

// routes returns what ip shows of dst in the table, one route a line, without
// the words that depend on the moment.
func (k *kernel) routes(t testing.TB, table string) []string {
	t.Helper()
	var all []string
	for l := range strings.Lines(k.ip(t, "route show exact %d table "+table)) {
		l = strings.NewReplacer(" linkdown", "", " pref medium", "").Replace(l)
		all = append(all, strings.Join(strings.Fields(l), " "))
	}
	return all
}

func (k *kernel) want(t testing.TB, lines ...string) {
	t.Helper()
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], "%d", k.dst.String())
		if k.opt == "-6" {
			lines[i] = strings.ReplaceAll(lines[i], " scope link", "")
		}
	}
	if got := k.routes(t, "main"); !slices.Equal(got, lines) {
		t.Errorf("the kernel has\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// Route is one route of a whole table that is wanted; without an interface it is
// unreachable.
type Route struct {
	Prefix    netip.Prefix
	Interface string
}

// Sync has f want these routes and nothing else, and writes them.
func (f *FIB) Sync(ctx context.Context, want []Route) (Result, error) {
	f.Apply(f.changesTo(want)...)
	return f.Flush(ctx)
}

// changesTo are the changes that make want all that is wanted.
func (f *FIB) changesTo(want []Route) (changes []Change) {
	at := map[netip.Prefix]int{}
	for _, w := range want {
		i, ok := at[w.Prefix]
		if !ok {
			i = len(changes)
			at[w.Prefix] = i
			changes = append(changes, Change{Prefix: w.Prefix})
		}
		if w.Interface == "" {
			changes[i].Unreachable = true
		} else {
			changes[i].Ways = append(changes[i].Ways, Way{Interface: w.Interface})
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := range f.pic.entries.all() {
		prefix := e.key.prefix()
		if _, ok := at[prefix]; !ok && !e.isGone() {
			changes = append(changes, Change{Prefix: prefix})
		}
	}
	return changes
}

func config() Config { return Config{Table: 254, Metric: 20, Protocol: 186} }

func openFIB(t testing.TB, cfg Config) *FIB {
	t.Helper()
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// run runs f.Run until the test ends, or stop is called.
func run(t *testing.T, f *FIB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// sync syncs and fails the test on an error.
func (k *kernel) sync(t testing.TB, f *FIB, want ...Route) Result {
	t.Helper()
	r, err := f.Sync(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// until waits for what Run does by itself.
func until(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this does not come: %s", what)
		}
	}
}

// syncWhenTold syncs each time that Changed tells to, until nothing fails. An
// IPv6 address, for one, is announced before it may be used.
func (k *kernel) syncWhenTold(t testing.TB, f *FIB, want ...Route) {
	t.Helper()
	for {
		waitChanged(t, f)
		if _, err := f.Sync(t.Context(), want); err == nil {
			return
		}
	}
}

// settled shows that nothing is left to do: a Sync sends nothing.
func (k *kernel) settled(t testing.TB, f *FIB, want ...Route) {
	t.Helper()
	before := f.Sent()
	f.mu.Lock()
	f.pic.stale = true // what the kernel shows counts, not what we remember
	f.mu.Unlock()
	k.sync(t, f, want...)
	if n := f.Sent() - before; n != 0 {
		t.Errorf("a second Sync sends %d messages", n)
	}
}

func waitChanged(t testing.TB, f *FIB) {
	t.Helper()
	select {
	case <-f.Changed():
	case <-time.After(30 * time.Second):
		t.Fatal("Changed does not tell")
	}
}
