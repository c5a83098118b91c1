//go:build privileged

package underlay

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// both runs a test for an IPv4 and an IPv6 underlay.
func both(t *testing.T, f func(t *testing.T, flag, remote, net1, net2 string)) {
	t.Run("ipv4", func(t *testing.T) { f(t, "-4", remote4, "10.9.1.", "10.9.2.") })
	t.Run("ipv6", func(t *testing.T) { f(t, "-6", remote6, "fd09:1::", "fd09:2::") })
}

func TestDefaultThroughTunnelDoesNotSwallow(t *testing.T) {
	both(t, func(t *testing.T, _, remote, _, _ string) {
		h := newHost(t)
		addr := h.serve(remote)
		h.swallow()
		g, _ := h.guard(nil)

		before := h.sent()
		c, err := dial(g.Control(""), addr, patience)
		if err != nil {
			t.Fatalf("marked: %v", err)
		}
		defer c.Close()
		if err := roundTrip(c); err != nil {
			t.Fatal(err)
		}
		if n := h.sent() - before; n != 0 {
			t.Errorf("%d packets of a marked connection went into the tunnel", n)
		}
		h.swallows(addr) // without the mark: what the guard is for
	})
}

func TestWithoutGuardTheMarkAloneDoesNothing(t *testing.T) {
	both(t, func(t *testing.T, _, remote, _, _ string) {
		h := newHost(t)
		addr := h.serve(remote)
		h.swallow()
		if c, err := dial(Control(""), addr, 300*time.Millisecond); err == nil {
			c.Close()
			t.Error("connected around the tunnel without a guard")
		}
	})
}

func TestOwnedHostRouteOverTheEndpoint(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, _ string) {
		h := newHost(t)
		addr := h.serve(remote)
		g, _ := h.guard(nil)
		c, err := dial(g.Control(""), addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		h.ip(flag + " route add " + remote + " dev tun0 metric 20 proto bgp")
		before := h.sent()
		if err := roundTrip(c); err != nil {
			t.Fatalf("after the peer announced the endpoint: %v", err)
		}
		if h.sent() != before {
			t.Error("packets went into the tunnel")
		}
		c2, err := dial(g.Control(""), addr, patience)
		if err != nil {
			t.Fatalf("a new connection: %v", err)
		}
		c2.Close()
	})
}

func TestListenerAnswersOnTheUnderlay(t *testing.T) {
	both(t, func(t *testing.T, _, remote, net1, _ string) {
		h := newHost(t)
		h.swallow()
		g, _ := h.guard(nil)
		lc := net.ListenConfig{Control: g.Control("")}
		l, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(net1+"1", "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				echo(c)
			}
		}()
		h.callIn(remote, l.Addr().String())
	})
}

// callIn connects from the remote's address to a listener of the host.
func (h *host) callIn(from, to string) {
	h.t.Helper()
	if err := h.tryCallIn(from, to, patience); err != nil {
		h.t.Fatalf("call from the remote: %v", err)
	}
}

func (h *host) tryCallIn(from, to string, timeout time.Duration) error {
	return h.router.Do(func() error {
		d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", to)
		if err != nil {
			return err
		}
		defer c.Close()
		return roundTrip(c)
	})
}

func TestConnectionSurvivesUnderlayChanges(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, net1, net2 string) {
		h := newHost(t)
		addr := h.serve(remote)
		h.swallow()
		g, _ := h.guard(nil)
		c, err := dial(g.Control(""), addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		changes := []struct{ name, command, way string }{
			{"another gateway", "route replace default via " + net1 + "3 dev u1 metric 100", "via " + net1 + "3"},
			{"another interface", "route replace default via " + net2 + "2 dev u2 metric 100", "dev u2"},
			{"a better one beside it", "route add default via " + net1 + "2 dev u1 metric 50", "dev u1"},
			{"the better one gone", "route del default via " + net1 + "2 dev u1 metric 50", "dev u2"},
		}
		for _, change := range changes {
			before := h.sent()
			h.ip(flag + " " + change.command)
			h.eventually(change.name, func() bool { return strings.Contains(h.way(remote), change.way) })
			if err := roundTrip(c); err != nil {
				t.Fatalf("%s: the connection broke: %v", change.name, err)
			}
			if h.sent() != before {
				t.Errorf("%s: packets went into the tunnel", change.name)
			}
		}
	})
}

func TestWithoutUnderlayRouteDialingFailsAtOnce(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, _ string) {
		h := newHost(t)
		addr := h.serve(remote)
		h.swallow()
		g, _ := h.guard(nil)
		h.ip(flag + " route del default metric 100")
		h.eventually("the copy of the default route is gone", func() bool {
			return !strings.Contains(h.routes(flag), "default via")
		})
		before := h.sent()
		if c, err := dial(g.Control(""), addr, patience); err == nil {
			c.Close()
			t.Error("connected without an underlay route")
		} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			t.Errorf("did not fail at once: %v", err)
		}
		if h.sent() != before {
			t.Error("packets went into the tunnel")
		}
	})
}

func TestInterfaceDownAndUp(t *testing.T) {
	h := newHost(t)
	h.swallow()
	h.guard(nil)
	h.ip("link set u1 down")
	h.eventually("the copies through u1 are gone", func() bool { return !strings.Contains(h.routes("-4"), "u1") })
	h.ip("link set u1 up")
	h.ip("route add default via 10.9.1.2 metric 100")
	h.eventually("the copy is back", func() bool { return strings.Contains(h.way(remote4), "via 10.9.1.2 dev u1") })
}

func TestForeignStateIsLeftAlone(t *testing.T) {
	h := newHost(t)
	h.swallow()
	h.ip("route add 203.0.113.0/24 via 10.9.1.2 proto static metric 7")
	h.ip("-6 route add 2001:db8:7::/48 via fd09:1::2 proto static metric 7")
	h.ip("route add 192.0.2.0/24 via 10.9.2.2 table 77")
	h.ip("rule add pref 1000 from 10.55.0.0/16 lookup 77")
	show := func() string {
		return h.ip("-4 route show table main") + h.ip("-6 route show table main") + h.ip("route show table 77") +
			h.ip("-4 rule") + h.ip("-6 rule")
	}
	before := show()
	_, stop := h.guard(nil)
	withGuard := h.ip("-4 route show table main") + h.ip("-6 route show table main") + h.ip("route show table 77")
	if !strings.HasPrefix(before, withGuard) {
		t.Errorf("foreign routes changed:\n%s\nbefore:\n%s", withGuard, before)
	}
	stop()
	if after := show(); after != before {
		t.Errorf("after stop:\n%s\nbefore start:\n%s", after, before)
	}
	for _, family := range []string{"-4", "-6"} {
		if left := h.routes(family); left != "" {
			t.Errorf("left behind: %s", left)
		}
	}
}

// What is left may be of this version or of one before, which had one table and no
// rules behind the others'.
func TestLeftoversOfAKilledDaemon(t *testing.T) {
	for _, left := range []struct {
		name     string
		table    int
		commands []string
	}{
		{"of this version", Table + 1, []string{
			"rule add pref 31000 fwmark 0x2057/0x30ff goto 8279007 proto bgp",
			"rule add pref 32765 fwmark 0x2057/0x30ff goto 8279001 proto kernel",
			"rule add pref 32765 iif lo to 192.0.2.9 goto 8279001 proto bgp",
			"rule add pref 8279001 to 192.0.2.0/24 lookup 827900255 proto bgp",
			"rule add pref 8279002 goto 8279007 proto bgp",
			"rule add pref 8279007 lookup 827900255 proto bgp",
			"-6 rule add pref 32765 fwmark 0x2057/0x30ff goto 8279001 proto bgp",
			"-6 rule add pref 8279001 lookup 827900255 proto bgp",
		}},
		{"of one before", formerTable, []string{
			"rule add pref 31000 fwmark 0x2057/0x30ff lookup 8279 proto kernel",
			"rule add pref 32765 iif lo to 192.0.2.9 lookup 8279 proto bgp",
			"-6 rule add pref 32765 fwmark 0x2057/0x30ff lookup 8279 proto bgp",
		}},
		{"tables without rules", Table + 1, nil},
	} {
		t.Run(left.name, func(t *testing.T) {
			h := newHost(t)
			for _, c := range left.commands {
				h.ip(c)
			}
			h.ip(fmt.Sprintf("route add 192.0.2.0/24 via 10.9.2.2 table %d proto bgp", left.table))
			h.ip(fmt.Sprintf("-6 route add 2001:db8:7::/48 via fd09:2::2 table %d proto bgp", left.table))
			_, stop := h.guard(nil)
			for _, family := range []string{"-4", "-6"} {
				if out, err := runCommand(fmt.Sprintf("ip %s route show table %d", family, left.table)); err == nil && out != "" {
					t.Errorf("a stale copy is still there:\n%s", out)
				}
				out := h.ip(family + " rule")
				if strings.Count(out, "fwmark 0x2057") != 1 || strings.Contains(out, "192.0.2") || strings.Contains(out, "8279007") ||
					strings.Contains(out, fmt.Sprintf("lookup %d ", left.table)) || !strings.Contains(out, "lookup 827900254") {
					t.Errorf("rules:\n%s", out)
				}
			}
			stop()
			if out := h.ip("rule") + h.ip("-6 rule"); strings.Contains(out, "8279") {
				t.Errorf("a rule is left:\n%s", out)
			}
		})
	}
}

// wg-quick uses the mark that it is told to use as the number of its table, and
// docs/routing.md tells operators of Warren's mark.
func TestTableOfTheMarksNumberIsLeftAlone(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, _ string) {
		h := newHost(t)
		h.ip("tuntap add mode tun name wg0")
		h.ip("link set wg0 up")
		h.ip(flag + " route add default dev wg0 table 8279")
		h.ip(flag + " rule add not fwmark 0x2057 table 8279")
		h.ip(flag + " rule add table main suppress_prefixlength 0")
		_, stop := h.guard(nil)
		if way := h.way(remote); !strings.Contains(way, "dev u1") {
			t.Errorf("marked packets go %s", way)
		}
		if out := h.ip("route get " + remote); !strings.Contains(out, "dev wg0 table 8279") {
			t.Errorf("unmarked packets go %s", out)
		}
		stop()
		if out := h.ip("route get " + remote); !strings.Contains(out, "dev wg0 table 8279") {
			t.Errorf("after stop unmarked packets go %s", out)
		}
	})
}

func TestCopyRemovedByOthersComesBack(t *testing.T) {
	h := newHost(t)
	h.guard(nil)
	h.ip(fmt.Sprintf("route flush table %d", Table))
	before := h.rules("-4")
	for _, rule := range []string{"lookup 827900254", "pref 8279000", "pref 8279001", "fwmark 0x2057/0x30ff"} {
		h.ip("rule del " + rule)
		h.eventually("routes and rules are back after "+rule, func() bool {
			return strings.Contains(h.routes("-4"), "default via") && h.rules("-4") == before
		})
	}
}

func TestOperatorsRulesComeFirst(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, net1, net2 string) {
		h := newHost(t)
		h.swallow()
		h.ip(flag + " route add default via " + net2 + "2 table 77")
		h.guard(nil)
		h.ip(flag + " rule add pref 1000 to " + remote + " lookup 77")
		if way := h.way(remote); !strings.Contains(way, "dev u2") {
			t.Errorf("the operator's rule is not first: %s", way)
		}
		h.ip(flag + " rule del pref 1000")
		// A rule that leads to main would lead into the tunnel.
		h.ip(flag + " rule add pref 500 lookup main suppress_prefixlength 0")
		h.ip(flag + " route add " + remote + " dev tun0 metric 20 proto bgp")
		h.eventually("the guard's rule goes before a rule for main", func() bool {
			return strings.Contains(h.ip(flag+" rule"), "499:") && strings.Contains(h.way(remote), "dev u1")
		})
		h.ip(flag + " rule del pref 500")
		h.eventually("and back", func() bool { return strings.Contains(h.ip(flag+" rule"), "32765:") })
	})
}

func TestTunnelsChangeAtRunTime(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, _ string) {
		h := newHost(t)
		g, _ := h.guard(nil)
		g.SetTunnels(nil)
		// Foreign, so only the interface tells that it leads into a tunnel.
		h.ip(flag + " route add default dev tun0 metric 20 proto static")
		h.eventually("it is copied while tun0 is no tunnel", func() bool { return strings.Contains(h.way(remote), "tun0") })
		g.SetTunnels([]string{"tun0", "later0"})
		h.eventually("tun0 is a tunnel", func() bool { return strings.Contains(h.way(remote), "dev u1") })
		h.ip("tuntap add mode tun name later0")
		h.ip("link set later0 up")
		h.ip(flag + " route add default dev later0 metric 10 proto static")
		h.eventually("main has it", func() bool { return strings.Contains(h.ip(flag+" route"), "later0") })
		h.ip(flag + " route add default dev u2 metric 5 proto static")
		h.eventually("the copy is up to date", func() bool { return strings.Contains(h.routes(flag), "default dev u2") })
		if out := h.routes(flag); strings.Contains(out, "later0") {
			t.Errorf("a route through a tunnel was copied:\n%s", out)
		}
	})
}

// A config may call the underlay a tunnel by mistake: one peer that cannot work
// must not cut off all others.
func TestEthernetIsNoTunnel(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, _ string) {
		h := newHost(t)
		g, _ := h.guard(nil)
		g.SetTunnels([]string{"tun0", "u1"})
		h.ip(flag + " route add default dev u2 metric 1000 proto static")
		h.eventually("the copy is up to date", func() bool { return strings.Contains(h.routes(flag), "metric 1000") })
		if way := h.way(remote); !strings.Contains(way, "dev u1") {
			t.Errorf("marked packets go %s", way)
		}
	})
}

// Learned routes may be in a table of their own, which a rule leads to.
func TestOtherFIBTable(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, _ string) {
		h := newHost(t)
		h.ip(flag + " rule add pref 200 lookup 100")
		h.ip(flag + " route add default dev tun0 metric 20 proto bgp table 100")
		// Of that protocol in main are routes of another BGP daemon.
		h.ip(flag + " route add " + remote + " dev u2 proto bgp")
		h.guard(nil, func(g *Guard) { g.fibTable = 100 })
		if way := h.way(remote); !strings.Contains(way, "dev u2") {
			t.Errorf("marked packets go %s", way)
		}
		if out := h.ip("route get " + remote); !strings.Contains(out, "tun0") {
			t.Errorf("unmarked packets go %s: the test proves nothing", out)
		}
	})
}
