//go:build privileged

package topo

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"warren/lab/path"
)

// newPath makes two hosts, and a path between them.
func newPath(t *testing.T) (context.Context, *Host, *Host, *Link, *path.Path) {
	ctx, tp := newTopology(t)
	a, err := tp.Host(ctx, "a")
	must(t)(err)
	b, err := tp.Host(ctx, "b")
	must(t)(err)
	l, err := tp.Connect(ctx, a, "eth0", []string{"192.0.2.1/24", "2001:db8::1/64"}, b, "eth0", []string{"192.0.2.2/24", "2001:db8::2/64"})
	must(t)(err)
	p, err := l.Path(ctx, 1)
	must(t)(err)
	return ctx, a, b, l, p
}

func setBoth(t *testing.T, p *path.Path, text string) {
	t.Helper()
	c, err := path.ParseConditions(strings.Fields(text))
	must(t)(err)
	p.Set(path.A, c)
	p.Set(path.B, c)
}

var shortest = regexp.MustCompile(`rtt min/avg/max/mdev = ([0-9.]+)/`)

// A path delays, in one direction or both, in both families, and its conditions change while packets are
// under way: none is lost, and none comes twice.
func TestPathDelays(t *testing.T) {
	ctx, a, _, _, p := newPath(t)
	roundTrip := func(addr string) float64 {
		out, err := a.Run(ctx, "ping", "-n", "-c", "3", "-i", "0.05", "-W", "10", addr)
		must(t)(err)
		ms, err := strconv.ParseFloat(shortest.FindStringSubmatch(out)[1], 64)
		must(t)(err)
		return ms
	}
	both, err := path.ParseConditions([]string{"delay", "40ms"})
	must(t)(err)
	for _, tc := range []struct {
		fromA, fromB path.Conditions
		least        float64 // round trip, ms
	}{{path.Conditions{}, both, 40}, {both, path.Conditions{}, 40}, {both, both, 80}} {
		p.Set(path.A, tc.fromA)
		p.Set(path.B, tc.fromB)
		for _, addr := range []string{"192.0.2.2", "2001:db8::2"} {
			if got := roundTrip(addr); got < tc.least {
				t.Errorf("to %s: %v ms, want at least %v", addr, got, tc.least)
			}
		}
	}

	// Behind the last packet ping waits for twice the longest round trip, which it learns here.
	setBoth(t, p, "delay 1s")
	flow, err := a.Start("ping", "-n", "-c", "300", "-i", "0.01", "-W", "10", "192.0.2.2")
	must(t)(err)
	_ = flow.Wait(shortly(ctx, t))
	for flow.Running() {
		for _, text := range []string{"", "delay 15ms", "rate 10mbit queue 1s", "delay 5ms"} {
			setBoth(t, p, text)
			_ = flow.Wait(shortly(ctx, t))
		}
	}
	if log := flow.Log(); !strings.Contains(log, "300 packets transmitted, 300 received, 0% packet loss") {
		t.Errorf("%s", log[max(0, len(log)-300):])
	}
}

// shortly is a context that is done soon.
func shortly(ctx context.Context, t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Packets get lost, and come late and twice; TCP, whose checksums nobody computes on such a link, makes all of it good. A
// rate bounds it.
func TestPathCarriesTCP(t *testing.T) {
	ctx, a, b, _, p := newPath(t)
	const size = 2_000_000
	for _, tc := range []struct {
		conditions string
		addr       string
		least      time.Duration
		congestion string      // empty: the host's
		seen       []path.Kind // from a
	}{
		{"", "192.0.2.2", 0, "", nil},
		{"delay 2ms loss 2% reorder 2% late 1ms duplicate 2%", "192.0.2.2", 0, "", []path.Kind{path.Lost, path.Reordered, path.Duplicated}},
		{"loss 2% burst 3", "2001:db8::2", 0, "", nil},
		// Reno sends ever more until something is dropped; others may find the rate before.
		{"rate 16mbit queue 20ms", "2001:db8::2", time.Second, "reno", []path.Kind{path.Dropped}},
	} {
		setBoth(t, p, tc.conditions)
		family := "-4"
		if strings.Contains(tc.addr, ":") {
			family = "-6"
		}
		if tc.congestion != "" {
			must(t)(a.Sysctl(ctx, "net.ipv4.tcp_congestion_control="+tc.congestion))
		}
		server, err := b.Start("sh", "-c", "nc "+family+" -l -N 5000 | sha256sum")
		must(t)(err)
		_, err = Eventually(ctx, 10*time.Millisecond, time.Minute, func() error {
			if out, err := b.Run(ctx, "ss", "-tlnH"); err != nil || !strings.Contains(out, ":5000") {
				return fmt.Errorf("nobody listens: %s %w", out, err)
			}
			return nil
		})
		must(t)(err)
		began := time.Now()
		out, err := a.Run(ctx, "sh", "-c", fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x | nc -N %s 5000; head -c %d /dev/zero | tr '\\0' x | sha256sum", size, tc.addr, size))
		must(t)(err)
		must(t)(server.Wait(ctx))
		if took := time.Since(began); took < tc.least {
			t.Errorf("%q: it took %v", tc.conditions, took)
		}
		if out != server.Log() {
			t.Errorf("%q: sent %s, came %s", tc.conditions, out, server.Log())
		}
		for _, k := range tc.seen {
			if p.Count(path.A, k) == 0 {
				t.Errorf("%q: no packet of kind %d", tc.conditions, k)
			}
		}
		if n := p.Count(path.A, path.Overrun) + p.Count(path.B, path.Overrun); n > 0 {
			t.Errorf("%q: the emulator could not carry %d packets", tc.conditions, n)
		}
	}
}

// What is too large is fragmented, or vanishes, and the sender learns why or does not.
func TestPathMTU(t *testing.T) {
	ctx, a, _, _, p := newPath(t)
	setBoth(t, p, "mtu 1300")
	// What comes is waited for as long as it takes, and what does not for a second.
	try := func(wait, addr string, args ...string) string {
		out, _ := a.Run(ctx, append([]string{"ping", "-n", "-c", "1", "-W", wait}, append(args, addr)...)...)
		return out
	}
	const answered = ", 0% packet loss"
	for _, tc := range []struct {
		addr, fragment, size, want string
	}{
		{"192.0.2.2", "do", "1272", answered},
		{"2001:db8::2", "do", "1252", answered},
		{"192.0.2.2", "dont", "4000", answered},
	} {
		if out := try("30", tc.addr, "-M", tc.fragment, "-s", tc.size); !strings.Contains(out, tc.want) {
			t.Errorf("%+v: %s", tc, out)
		}
	}
	setBoth(t, p, "mtu 1300 no-icmp no-fragments")
	for _, args := range [][]string{{"192.0.2.2", "-M", "do", "-s", "1400"}, {"2001:db8::2", "-M", "do", "-s", "1400"}, {"192.0.2.2", "-M", "dont", "-s", "1400"}} {
		if out := try("1", args[0], args[1:]...); !strings.Contains(out, "100% packet loss") || strings.Contains(strings.ToLower(out), "mtu") {
			t.Errorf("%v in silence: %s", args, out)
		}
	}
	setBoth(t, p, "mtu 1300")
	for _, addr := range []string{"192.0.2.2", "2001:db8::2"} {
		if out := try("30", addr, "-M", "do", "-s", "1400"); !regexp.MustCompile(`(From 192\.0\.2\.2|From 2001:db8::2) .*mtu ?= ?1300`).MatchString(out) {
			t.Errorf("%s does not learn it: %s", addr, out)
		}
	}
}

// A link with a path can be cut and mended like any other.
func TestPathOfCutLink(t *testing.T) {
	ctx, a, _, l, p := newPath(t)
	setBoth(t, p, "delay 1ms")
	mustReach(ctx, t, a, "192.0.2.2")
	for _, broken := range []func(context.Context) error{l.Cut, l.Blackhole} {
		must(t)(broken(ctx))
		if ping(ctx, a, "192.0.2.2") == nil {
			t.Error("a broken link carries")
		}
		must(t)(l.Heal(ctx))
		_, err := Eventually(ctx, 10*time.Millisecond, time.Minute, func() error { return ping(ctx, a, "192.0.2.2") })
		must(t)(err)
	}
	if again, err := l.Path(ctx, 2); again != p || err != nil {
		t.Errorf("a second path: %v", err)
	}
}
