//go:build privileged

package underlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// Without the guard's extra rules a strict filter drops the answers, with or
// without src_valid_mark: packets arrive unmarked.
func TestStrictFilterDropsAnswers(t *testing.T) {
	for _, valid := range []int{0, 1} {
		t.Run(fmt.Sprintf("src_valid_mark=%d", valid), func(t *testing.T) {
			h := newHost(t)
			addr := h.serve(remote4)
			h.swallow()
			h.guard(nil)
			h.run("sysctl -qw net.ipv4.conf.u1.rp_filter=1")
			h.run(fmt.Sprintf("sysctl -qw net.ipv4.conf.u1.src_valid_mark=%d", valid))
			// The function, not the guard's method: the mark and nothing else.
			if c, err := dial(Control(""), addr, 300*time.Millisecond); err == nil {
				c.Close()
				t.Error("connected: the tests below prove nothing")
			}
		})
	}
}

func TestStrictFilter(t *testing.T) {
	for _, setting := range []string{"u1", "all"} {
		t.Run(setting, func(t *testing.T) {
			h := newHost(t)
			addr := h.serve(remote4)
			h.swallow()
			var logs bytes.Buffer
			g, stop := h.guard(&logs)
			h.run("sysctl -qw net.ipv4.conf." + setting + ".rp_filter=1")
			h.eventually("the guard sees the filter", func() bool {
				g.mu.Lock()
				defer g.mu.Unlock()
				return g.strict
			})
			c, err := dial(g.Control(""), addr, patience)
			if err != nil {
				t.Fatalf("dial: %v", err)
			}
			defer c.Close()
			if err := roundTrip(c); err != nil {
				t.Fatal(err)
			}
			// What the router forwards to that address still takes the tunnel.
			h.run("sysctl -qw net.ipv4.ip_forward=1")
			if out := h.ip("route get " + remote4 + " from 10.9.2.77 iif u2"); !strings.Contains(out, "tun0") {
				t.Errorf("forwarded traffic is led off: %s", out)
			}
			h.run("sysctl -qw net.ipv4.conf." + setting + ".rp_filter=0")
			h.eventually("the extra rules are gone", func() bool { return strings.Count(h.ip("rule"), "goto 8279001") == 1 })
			stop()
			if n := strings.Count(logs.String(), "rp_filter would drop"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, logs.String())
			}
		})
	}
}

func TestStrictFilterAndListener(t *testing.T) {
	for _, address := range []string{"0.0.0.0", "[::]", "10.9.1.1"} {
		t.Run(address, func(t *testing.T) {
			h := newHost(t)
			h.swallow()
			h.run("sysctl -qw net.ipv4.conf.all.rp_filter=1")
			g, _ := h.guard(nil)
			listen := func(ctl control, port string) net.Listener {
				lc := net.ListenConfig{Control: ctl}
				l, err := lc.Listen(t.Context(), "tcp", address+":"+port)
				if err != nil {
					t.Fatal(err)
				}
				echoAll(t, l)
				return l
			}
			listen(Control(""), "4431")
			if err := h.tryCallIn(remote4, "10.9.1.1:4431", 300*time.Millisecond); err == nil {
				t.Error("connected without the guard's rules: this test proves nothing")
			}
			listen(g.Control(""), "4430")
			h.callIn(remote4, "10.9.1.1:4430")
			h.ip("addr add 10.9.1.7/24 dev u1")
			if address != "10.9.1.1" {
				h.eventually("an address that is new", func() bool {
					return h.tryCallIn(remote4, "10.9.1.7:4430", time.Second) == nil
				})
			}
		})
	}
}

// TestStrictFilterAndDatagrams: a UDP socket that never dials is answered, as WireGuard's, however the guard gets to know
// its port.
func TestStrictFilterAndDatagrams(t *testing.T) {
	marked := Control("") // which tells the guard nothing
	for _, tt := range []struct {
		name, address string
		control       func(*Guard) control
		listens       bool // the guard is told the port
	}{
		{"the guard's control", ":4430", func(g *Guard) control { return g.Control("") }, false},
		{"a port that the kernel chose", ":0", func(g *Guard) control { return g.Control("") }, true},
		{"a socket that another program has opened", ":4430", func(*Guard) control { return marked }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			h.swallow()
			h.run("sysctl -qw net.ipv4.conf.all.rp_filter=1")
			g, _ := h.guard(nil)
			blind := h.serveDatagrams(marked, ":0")
			if err := h.sendIn(remote4, "10.9.1.1", blind, 300*time.Millisecond); err == nil {
				t.Fatal("answered without the guard's rules: this test proves nothing")
			}
			port := h.serveDatagrams(tt.control(g), tt.address)
			if tt.listens {
				g.ListensUDP(port)
			}
			if err := h.sendIn(remote4, "10.9.1.1", port, patience); err != nil {
				t.Error(err)
			}
		})
	}
}

// answer echoes TCP in the test's namespace, on a port of the kernel's choice, until the test ends.
func (h *host) answer(ctl control) netip.AddrPort {
	h.t.Helper()
	lc := net.ListenConfig{Control: ctl}
	l, err := lc.Listen(h.t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		h.t.Fatal(err)
	}
	echoAll(h.t, l)
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// serveDatagrams echoes UDP in the test's namespace until the test ends.
func (h *host) serveDatagrams(ctl control, address string) (port uint16) {
	h.t.Helper()
	lc := net.ListenConfig{Control: ctl}
	c, err := lc.ListenPacket(h.t.Context(), "udp4", address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	go func() {
		for buf := make([]byte, 64); ; {
			n, from, err := c.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = c.WriteTo(buf[:n], from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// sendIn sends datagrams from the remote's address to a port of the host until one is answered.
func (h *host) sendIn(from, to string, port uint16, timeout time.Duration) error {
	return h.router.Do(func() error {
		c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(to), Port: int(port)})
		if err != nil {
			return err
		}
		defer c.Close()
		for end := time.Now().Add(timeout); time.Now().Before(end); {
			if _, err := c.Write([]byte("warren")); err != nil {
				return err
			}
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := c.Read(make([]byte, 64)); err == nil {
				return nil
			}
		}
		return fmt.Errorf("no answer within %v", timeout)
	})
}

// TestStrictFilterAndAddressElsewhere: a listener is reached at an address of another interface than the one that
// filters.
func TestStrictFilterAndAddressElsewhere(t *testing.T) {
	h := newHost(t)
	h.swallow()
	h.run("sysctl -qw net.ipv4.conf.u1.rp_filter=1")
	h.ip("addr add 203.0.113.7/32 dev lo")
	h.ipIn(h.router, "route add 203.0.113.7/32 via 10.9.1.1")
	g, _ := h.guard(nil)
	port := h.serveDatagrams(g.Control(""), "203.0.113.7:4430")
	if err := h.sendIn(remote4, "203.0.113.7", port, patience); err != nil {
		t.Error(err)
	}
	if out := h.ip("rule"); strings.Contains(out, "from 127.") {
		t.Errorf("rules for what cannot come from elsewhere:\n%s", out)
	}
}

// TestPortsOfTheDaemonBefore: a guard that takes the rules of another one over, and is told the ports before it begins,
// removes none of them, so that there is no moment in which the filter drops what comes.
func TestPortsOfTheDaemonBefore(t *testing.T) {
	h := newHost(t)
	h.run("sysctl -qw net.ipv4.conf.all.rp_filter=1")
	k, err := openKernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	begin := func(tell func(*Guard)) {
		t.Helper()
		g, err := New(Config{FIBProtocol: owned, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		tell(g)
		if _, err := g.reconcile(k, dirtyAll); err != nil {
			t.Fatal(err)
		}
	}
	both := func(g *Guard) {
		g.ListensTCP(netip.MustParseAddrPort("0.0.0.0:4430"))
		g.ListensUDP(51820)
	}
	begin(both)
	if n := strings.Count(h.ip("rule"), "sport"); n != 4 { // at the addresses of u1 and u2
		t.Fatalf("%d rules for ports:\n%s", n, h.ip("rule"))
	}
	events, err := rtnl.Subscribe(rtnl.Hidden{}, unix.RTNLGRP_IPV4_RULE)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	gone := func() (n int) {
		t.Helper()
		if _, err := events.Drain(func(h rtnl.Header, _ []byte) {
			if h.Type == unix.RTM_DELRULE {
				n++
			}
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if begin(both); gone() != 0 {
		t.Error("a rule was removed for a moment")
	}
	if begin(func(*Guard) {}); gone() != 4 {
		t.Error("the rules stay of ports that nothing listens on: this test proves nothing")
	}
}

// TestManyPortsAtManyAddresses: each port is let in at each address, by few rules, and what the router forwards from the same port is
// not led off. Rules of former versions are replaced, those of others stay, and a guard that takes over what a killed one has left
// removes it.
func TestManyPortsAtManyAddresses(t *testing.T) {
	const ports, addresses = 20, 6 // two of them the host's
	h := newHost(t)
	h.swallow()
	for i := range addresses - 2 {
		h.ip(fmt.Sprintf("addr add 10.9.1.%d/24 dev u1", 10+i))
	}
	h.run("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.ip_forward=1")
	foreign := []string{"from all iif u2 goto 32766", "from 10.9.77.1 iif u2 ipproto udp sport 4430 goto 32766"}
	for _, r := range foreign {
		h.ip("rule add " + r + " priority 500")
	}
	former := "from 10.9.1.1 ipproto udp sport 4999"
	h.ip("rule add " + former + " goto 8279001 priority 32765 protocol 186")
	k, err := openKernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	g, err := New(Config{FIBProtocol: owned, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	reconcile := func(g *Guard) {
		t.Helper()
		if _, err := g.reconcile(k, dirtyAll); err != nil {
			t.Fatal(err)
		}
	}
	g.SetTunnels([]string{"tun0"})
	for range ports - 2 {
		g.ListensUDP(h.serveDatagrams(g.Control(""), ":0"))
	}
	var some []netip.AddrPort
	for range 2 {
		some = append(some, h.answer(g.Control("")))
		g.ListensTCP(some[len(some)-1])
	}
	reconcile(g)
	rules := func() (n int) { // that are not behind all others
		for line := range strings.Lines(h.ip("rule")) {
			if strings.Contains(line, "827900") && !strings.HasPrefix(line, "82") {
				n++
			}
		}
		return n
	}
	if n := rules(); n > ports+addresses+2 {
		t.Errorf("%d rules:\n%s", n, h.ip("rule"))
	}
	if strings.Contains(h.ip("rule"), former) {
		t.Errorf("a rule of a former version is there:\n%s", h.ip("rule"))
	}
	for _, l := range some {
		for _, to := range []string{"10.9.1.1", "10.9.1.10", fmt.Sprintf("10.9.1.%d", 10+addresses-3)} {
			h.callIn(remote4, fmt.Sprintf("%s:%d", to, l.Port()))
		}
		if out := h.ip(fmt.Sprintf("route get %s from 10.9.2.77 iif u2 ipproto tcp sport %d", remote4, l.Port())); !strings.Contains(out, "tun0") {
			t.Errorf("forwarded traffic is led off: %s", out)
		}
	}
	// A rule of somebody's at the place of the chain.
	h.ip("rule add priority 32763 iif lo lookup main suppress_prefixlength 0")
	reconcile(g)
	h.callIn(remote4, fmt.Sprintf("10.9.1.10:%d", some[0].Port()))
	h.ip("rule del priority 32763")
	reconcile(g)
	// The next daemon listens on nothing.
	next, err := New(Config{FIBProtocol: owned, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	next.SetTunnels([]string{"tun0"})
	reconcile(next)
	if n := rules(); n != 1 { // that of the mark
		t.Errorf("%d rules are left:\n%s", n, h.ip("rule"))
	}
	reconcile(g)
	if err := g.RemoveLeft(); err != nil {
		t.Error(err)
	}
	if n := rules(); n != 0 || strings.Contains(h.ip("rule"), "8279") {
		t.Errorf("%d rules are left:\n%s", n, h.ip("rule"))
	}
	for _, r := range foreign {
		if !strings.Contains(h.ip("rule"), r) {
			t.Errorf("%q was removed:\n%s", r, h.ip("rule"))
		}
	}
}

// Whatever a guard that was killed while it added or deleted a chain has left of that, the next one makes its own, also where that begins
// one priority earlier or later: what was left may stand in the place of another kind of rule.
func TestChainThatIsLeftInPart(t *testing.T) {
	newHost(t)
	k, err := openKernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	g, err := New(Config{FIBProtocol: owned, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	sync := func(p plan, back returning) (own []rule) {
		t.Helper()
		own, _, err := g.listRules(k, unix.AF_INET)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.syncRules(k, unix.AF_INET, own, p, back); err != nil {
			t.Errorf("%v\nbeside %v", err, own)
		}
		if own, _, err = g.listRules(k, unix.AF_INET); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(own, func(a, b rule) int { return strings.Compare(a.String(), b.String()) })
		return own
	}
	at := func(jump uint32) plan { return plan{jump: jump, rules: []rule{newRule(0, nl.FR_ACT_UNREACHABLE)}} }
	const here = 32000
	back := manyPorts(2, 4)
	want := sync(at(here), back)
	for jump := uint32(here - chainLen - 1); jump <= here+chainLen+1; jump++ {
		added := at(jump).chain(back)
		deleted := slices.Clone(added)
		slices.SortStableFunc(deleted, lastFirst)
		for n := range added {
			for _, left := range [][]rule{added[:n], deleted[n:]} {
				if err := g.clearRules(k); err != nil {
					t.Fatal(err)
				}
				s := newRuleSync(k, unix.AF_INET, owned, nil)
				if s.add(left...); s.err != nil {
					t.Fatal(s.err)
				}
				if got := sync(at(here), back); !slices.Equal(got, want) {
					t.Fatalf("after %v\n%v, want\n%v", left, got, want)
				}
			}
		}
	}
}

// The loose filter drops what comes from where an owned route says unreachable.
func TestLooseFilterWithUnreachableRoutes(t *testing.T) {
	h := newHost(t)
	addr := h.serve(remote4)
	g, stop := h.guard(nil)
	defer stop()
	h.ip("route add unreachable " + remote4 + "/32 proto 186 metric 4294967294")
	h.run("sysctl -qw net.ipv4.conf.u1.rp_filter=2")
	if c, err := dial(g.Control(""), addr, 300*time.Millisecond); err == nil {
		c.Close()
		t.Error("connected: the rest proves nothing")
	}
	g.SetUnreachable(true)
	h.eventually("the guard counts the loose filter", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.strict
	})
	c, err := dial(g.Control(""), addr, patience)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer c.Close()
	if err := roundTrip(c); err != nil {
		t.Fatal(err)
	}
	g.SetUnreachable(false)
	h.eventually("the extra rules are gone", func() bool { return strings.Count(h.ip("rule"), "goto 8279001") == 1 })
}

// TestInterfacesThatVanish: while the guard looks, containers' interfaces come and go, which a strict filter has it
// ask about.
func TestInterfacesThatVanish(t *testing.T) {
	h := newHost(t)
	h.run("sysctl -qw net.ipv4.conf.all.rp_filter=1")
	g, err := New(Config{FIBProtocol: owned, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g.remember(returnPath{port: 4430, ipProto: unix.IPPROTO_TCP})
	k, err := openKernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	ctx, stop := context.WithCancel(t.Context())
	churned := make(chan error, 1)
	go func() { churned <- h.ns.Do(func() error { return churn(ctx) }) }()
	for range 500 {
		if _, err := g.reconcile(k, dirtyAll); err != nil {
			t.Error(err)
			break
		}
	}
	stop()
	if err := <-churned; err != nil {
		t.Error(err)
	}
}

// churn makes an interface that is up and has an address, and removes it, until ctx is done.
func churn(ctx context.Context) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags = "v0", net.FlagUp
	for n := 0; ctx.Err() == nil || n == 0; n++ {
		l := &netlink.Veth{LinkAttrs: attrs, PeerName: "v1"}
		if err := netlink.LinkAdd(l); err != nil {
			return fmt.Errorf("add an interface: %w", err)
		}
		if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 9, 9, 1), Mask: net.CIDRMask(24, 32)}}); err != nil {
			return fmt.Errorf("add an address: %w", err)
		}
		if err := netlink.LinkDel(l); err != nil {
			return fmt.Errorf("remove an interface: %w", err)
		}
	}
	return nil
}
