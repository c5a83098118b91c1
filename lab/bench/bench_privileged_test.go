//go:build privileged

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"warren/lab/topo"
)

// TestMain is also what the tests run again by themselves.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && helpers[os.Args[1]] != nil {
		exitOn(helpers[os.Args[1]](os.Args[1:]))
		os.Exit(0)
	}
	exitOn(topo.Reexec())
	os.Exit(m.Run())
}

// testLines makes two providers that end with the test.
func testLines(t *testing.T) (context.Context, *lines) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	l, err := newLines(ctx, 2, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, l
}

// TestFlow counts what a line that drops everything for a while costs, and which line that is.
func TestFlow(t *testing.T) {
	ctx, l := testLines(t)
	p := l.providers[1]
	w := way{from: l.a, to: []*topo.Host{p.far}, src: p.nearAddr, dst: p.farAddr}
	calm, err := withFlows(ctx, []way{w}, func() error { return pause(ctx, 100*time.Millisecond) })
	if err != nil {
		t.Fatal(err)
	}
	if calm.sent == 0 || calm.lost != 0 || calm.gapMS <= 0 {
		t.Errorf("with nothing in the way: %+v", calm)
	}
	cut, err := withFlows(ctx, []way{w}, func() error {
		if i, err := l.busiest(ctx); err != nil || i != 1 {
			return fmt.Errorf("the busiest line is %d, %w", i, err)
		}
		if err := p.silence(ctx); err != nil {
			return err
		}
		if pings(ctx, w) == nil {
			return errors.New("a ping gets through")
		}
		if err := p.heal(ctx); err != nil {
			return err
		}
		_, err := topo.Eventually(ctx, 50*time.Millisecond, time.Minute, func() error { return pings(ctx, w) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The ping that did not get through waited for a second.
	if cut.lost == 0 || cut.lost == cut.sent || cut.gapMS < 1000 {
		t.Errorf("with everything dropped for a while: %+v", cut)
	}
}

// TestDropIsOneWay drops what A sends, and nothing of what comes.
func TestDropIsOneWay(t *testing.T) {
	ctx, l := testLines(t)
	p := l.providers[0]
	there := way{from: l.a, to: []*topo.Host{p.far}, src: p.nearAddr, dst: p.farAddr}
	back := way{from: p.far, to: []*topo.Host{l.a}, src: p.farAddr, dst: p.nearAddr}
	fs, err := startFlows(ctx, []way{there, back})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.drop(ctx, fromA); err != nil {
		t.Fatal(err)
	}
	if pings(ctx, there) == nil {
		t.Error("a ping gets through")
	}
	var lost []int
	for _, f := range fs {
		got, err := f.stop(ctx)
		if err != nil {
			t.Fatal(err)
		}
		lost = append(lost, got.lost)
	}
	if lost[0] == 0 || lost[1] != 0 {
		t.Errorf("lost there %d, back %d", lost[0], lost[1])
	}
}

// TestLookupAndCarrier looks where a route leads, and hears of an interface that loses its carrier.
func TestLookupAndCarrier(t *testing.T) {
	ctx, l := testLines(t)
	look, err := newLookup(l.a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := look.close(); err != nil {
			t.Error(err)
		}
	}()
	to := netip.MustParseAddr(l.providers[1].farAddr)
	want, err := indexOf(ctx, l.a, wan(1))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := look.way(to); err != nil || got != want {
		t.Errorf("%v leads into interface %d, %v; want %d", to, got, err, want)
	}
	if _, err := look.way(netip.MustParseAddr("203.0.113.1")); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("an address without a route: %v", err)
	}
	lost, err := watchCarrier(ctx, l.a, wan(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.providers[1].near.Cut(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-lost:
	case <-ctx.Done():
		t.Error("no event")
	}
}

// TestFeedersOfOneRouter has two feeders' tables in one BIRD, and what only one of them has.
func TestFeedersOfOneRouter(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const n = 50
	s, err := withRouter(ctx, bird{}, 2, n, func(ctx context.Context, f *fullTurn) error {
		if err := f.fill(ctx, n); err != nil {
			return err
		}
		if got := f.kernel.count(2 * n); got != n+2 {
			t.Errorf("the kernel has %d prefixes, want %d", got, n+2)
		}
		// What the other one announces too stays when one goes.
		f.feeders[0].close()
		f.feeders = f.feeders[1:]
		if err := f.awaitOne(ctx, n, false); err != nil {
			return err
		}
		if got := f.kernel.count(2 * n); got != n+1 {
			t.Errorf("without the first feeder the kernel has %d prefixes, want %d", got, n+1)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s[fullFill] <= 0 {
		t.Errorf("%+v", s)
	}
}
