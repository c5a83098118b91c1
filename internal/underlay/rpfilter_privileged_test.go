//go:build privileged

package underlay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
				t.Cleanup(func() { _ = l.Close() })
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						go echo(c)
					}
				}()
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
					return h.tryCallIn(remote4, "10.9.1.7:4430", 300*time.Millisecond) == nil
				})
			}
		})
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
