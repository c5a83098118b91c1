//go:build privileged

package underlay

import (
	"strings"
	"testing"
	"time"
)

// A guard that rests from a long comparison must follow the underlay all the same.
func TestChangesWhileResting(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, net1, net2 string) {
		h := newHost(t)
		h.swallow()
		g, _ := h.guard(nil, func(g *Guard) { g.minRest = time.Hour })
		// One whole comparison, and the rest begins.
		h.ip(flag + " route add default via " + net1 + "2 metric 99")
		h.eventually("the comparison", func() bool { return strings.Contains(h.routes(flag), "metric 99") })
		for _, way := range []string{net1 + "3 dev u1", net2 + "2 dev u2", net1 + "2 dev u1"} {
			h.ip(flag + " route replace default via " + way + " metric 99")
			h.eventually(way, func() bool { return strings.Contains(h.way(remote), "via "+way) })
		}
		h.ip(flag + " route del default metric 99")
		h.eventually("the deletion", func() bool { return !strings.Contains(h.routes(flag), "metric 99") })

		// Through interfaces that may be tunnels nothing is copied, not even for a while.
		g.SetTunnels([]string{"later0", "tun0"})
		h.ip("tuntap add mode tun name later0")
		h.ip("link set later0 up")
		h.ip(flag + " route add default dev tun0 metric 3 proto static")
		h.ip(flag + " route add default dev later0 metric 4 proto static")
		h.ip(flag + " route replace default via " + net2 + "3 metric 98")
		h.eventually("a later change", func() bool { return strings.Contains(h.way(remote), "via "+net2+"3") })
		out := h.routes(flag)
		if strings.Contains(out, "tun0") || strings.Contains(out, "later0") {
			t.Errorf("the copy holds:\n%s", out)
		}
	})
}

// Another daemon rewrites a large table without end; the default route changes.
func TestNewGatewayInABusyTable(t *testing.T) {
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 5_000
	}
	h := newHost(t)
	h.batch(n, "add")
	h.guard(nil)
	churn, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(churn)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			verb := []string{"del", "add"}[i%2]
			_ = h.ns.Do(func() error { return writeBatch(min(n, 500), verb) })
		}
	}()
	defer func() { close(stop); <-churn }()
	var worst time.Duration
	for i := range 10 {
		gateway := []string{"10.9.1.3", "10.9.1.2"}[i%2]
		h.ip("route replace default via " + gateway + " metric 100")
		start := time.Now()
		h.eventually("the new gateway", func() bool { return strings.Contains(h.way(remote4), "via "+gateway) })
		worst = max(worst, time.Since(start))
	}
	t.Logf("%d routes, changing: a new gateway is followed within %v at worst", n, worst)
}
