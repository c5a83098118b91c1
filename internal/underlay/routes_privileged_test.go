//go:build privileged

package underlay

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// copied brings the guard's table up to date in the test's own goroutine.
func copied(t *testing.T, tunnels map[uint32]bool) (g *Guard, k *kernel) {
	t.Helper()
	g, err := New(Config{FIBProtocol: owned})
	if err != nil {
		t.Fatal(err)
	}
	if k, err = openKernel(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	syncAll(t, g, k, tunnels)
	return g, k
}

func syncAll(t *testing.T, g *Guard, k *kernel, tunnels map[uint32]bool) {
	t.Helper()
	if err := k.readObjects(); err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		complete, failed, err := g.copyRoutes(k, family, unix.RT_TABLE_MAIN, Table, &watched{tunnels: tunnels})
		if err != nil || !complete {
			t.Fatalf("copy %s: complete=%v, %v", familyName(family), complete, err)
		}
		if failed.n != 0 {
			t.Errorf("%d %s routes could not be copied: %v", failed.n, familyName(family), failed.first)
		}
	}
}

// differences counts what the guard would still change.
func differences(t *testing.T, g *Guard, k *kernel, tunnels map[uint32]bool) int {
	t.Helper()
	n := 0
	for _, family := range families {
		want, _, err := g.wanted(k, family, unix.RT_TABLE_MAIN, &watched{tunnels: tunnels})
		if err != nil {
			t.Fatal(err)
		}
		have, _, err := g.present(k, family, Table)
		if err != nil {
			t.Fatal(err)
		}
		n += len(difference(Table, have, want, true))
	}
	return n
}

// terse stands for turning off that the kernel shows the ways of next-hop objects in routes.
const terse = "terse"

// Each kind of route must be copied so that the copy looks like the original
// and is not written again at the next reconciliation.
func TestKindsOfRoutes(t *testing.T) {
	const tun = " dev tun0"
	tests := []struct {
		name    string
		set     []string
		want    []string // substrings of the guard's table
		wantNot []string
	}{
		{"blackhole, prohibit, unreachable",
			[]string{"route add blackhole 203.0.113.0/25", "route add prohibit 203.0.113.128/25", "-6 route add unreachable 2001:db8:5::/48", "-6 route add blackhole 2001:db8:6::/48"},
			[]string{"blackhole 203.0.113.0/25", "prohibit 203.0.113.128/25", "unreachable 2001:db8:5::/48", "blackhole 2001:db8:6::/48"}, nil},
		{"throw",
			[]string{"route add throw 203.0.113.0/25", "-6 route add throw 2001:db8:5::/48"},
			[]string{"throw 203.0.113.0/25", "throw 2001:db8:5::/48"}, nil},
		{"attributes",
			[]string{"route add 203.0.113.0/24 via 10.9.1.2 src 10.9.2.1 mtu 1400 advmss 1300 tos 0x10 metric 33 realms 5",
				"-6 route add 2001:db8:5::/48 via fe80::77 dev u2 mtu 1400 pref high src fd09:2::1 metric 33"},
			[]string{"203.0.113.0/24 tos 0x10 via 10.9.1.2 dev u1 proto bgp src 10.9.2.1 metric 33 realm 5 mtu 1400 advmss 1300",
				"2001:db8:5::/48 via fe80::77 dev u2 proto bgp src fd09:2::1 metric 33 mtu 1400 pref high"}, nil},
		{"onlink gateway and IPv4 over an IPv6 next hop",
			[]string{"route add 203.0.113.0/25 via 192.0.2.77 dev u1 onlink", "route add 203.0.113.128/25 via inet6 fe80::77 dev u1"},
			[]string{"203.0.113.0/25 via 192.0.2.77 dev u1 proto bgp onlink", "203.0.113.128/25 via inet6 fe80::77 dev u1"}, nil},
		{"multipath",
			[]string{"route add 203.0.113.0/24 nexthop via 10.9.1.2 weight 3 nexthop via 10.9.2.2 weight 1",
				"-6 route add 2001:db8:5::/48 nexthop via fd09:1::2 nexthop via fd09:2::2 nexthop via fd09:1::3"},
			[]string{"nexthop via 10.9.1.2 dev u1 weight 3", "nexthop via 10.9.2.2 dev u2 weight 1", "nexthop via fd09:1::2", "nexthop via fd09:2::2", "nexthop via fd09:1::3"}, nil},
		{"multipath that is partly a tunnel",
			[]string{"route add 203.0.113.0/24 nexthop via 10.9.1.2 nexthop dev tun0", "-6 route add 2001:db8:5::/48 nexthop via fd09:1::2 nexthop via fe80::1" + tun},
			[]string{"203.0.113.0/24 via 10.9.1.2 dev u1", "2001:db8:5::/48 via fd09:1::2 dev u1"}, []string{"tun0"}},
		{"multipath that is all tunnel",
			[]string{"route add 203.0.113.0/24 nexthop dev tun0 nexthop via 10.0.0.9 dev tun0 onlink"}, nil, []string{"tun0", "203.0.113"}},
		{"multipath with an interface down",
			[]string{"route add 203.0.113.0/24 nexthop via 10.9.1.2 nexthop via 10.9.2.2", "link set u2 down"},
			[]string{"203.0.113.0/24 via 10.9.1.2 dev u1"}, []string{"10.9.2.2"}},
		{"next-hop objects",
			[]string{"nexthop add id 1 via 10.9.1.2 dev u1", "nexthop add id 2 via 10.9.2.2 dev u2", "nexthop add id 10 group 1/2",
				"route add 203.0.113.0/25 nhid 1", "route add 203.0.113.128/25 nhid 10",
				"nexthop add id 5 via fd09:1::2 dev u1", "-6 route add 2001:db8:5::/48 nhid 5"},
			[]string{"203.0.113.0/25 nhid 1 via", "203.0.113.128/25 nhid 10", "2001:db8:5::/48 nhid 5"}, nil},
		{"next-hop group that is partly a tunnel",
			[]string{"nexthop add id 1 via 10.9.1.2 dev u1", "nexthop add id 3 dev tun0", "nexthop add id 10 group 1/3", "route add 203.0.113.0/25 nhid 10",
				"nexthop add id 4 dev tun0", "route add 203.0.113.128/25 nhid 4"},
			[]string{"203.0.113.0/25 via 10.9.1.2 dev u1"}, []string{"tun0", "203.0.113.128"}},
		{"next-hop objects of which the kernel does not show the ways",
			[]string{terse, "nexthop add id 1 via 10.9.1.2 dev u1", "nexthop add id 2 via 10.9.2.2 dev u2", "nexthop add id 10 group 1/2",
				"nexthop add id 3 dev tun0", "nexthop add id 11 group 1,3/3", "nexthop add id 12 group 1,3/2/3", "nexthop add id 4 via inet6 fd09:1::2 dev u1",
				"nexthop add id 13 group 3/4", "nexthop add id 14 blackhole",
				"route add 203.0.113.0/27 nhid 1", "route add 203.0.113.32/27 nhid 10", "route add 203.0.113.64/27 nhid 11", "route add 203.0.113.96/27 nhid 3",
				"route add 203.0.113.128/27 nhid 12", "route add 203.0.113.160/27 nhid 13", "route add 203.0.113.192/27 nhid 14"},
			[]string{"203.0.113.0/27 nhid 1", "203.0.113.32/27 nhid 10", "203.0.113.64/27 via 10.9.1.2 dev u1", "nexthop via 10.9.1.2 dev u1 weight 3",
				"203.0.113.160/27 via inet6 fd09:1::2 dev u1", "blackhole 203.0.113.192/27"},
			[]string{"tun0", "203.0.113.96", "nhid 3", "nhid 11", "nhid 12", "nhid 13"}},
		{"advertised by two routers",
			[]string{"-6 route del default metric 100", "-6 route add default via fe80::1 dev u1 proto ra metric 1024 expires 1000 pref low",
				"-6 route append default via fe80::2 dev u2 proto ra metric 1025 pref high"},
			[]string{"default via fe80::1 dev u1 proto bgp metric 1024 pref low", "default via fe80::2 dev u2 proto bgp metric 1025 pref high"}, []string{"expires"}},
		{"several of one metric",
			[]string{"route append 203.0.113.0/24 via 10.9.1.2 metric 9", "route append 203.0.113.0/24 via 10.9.2.2 metric 9", "route append 203.0.113.0/24 via 10.9.1.3 metric 10"},
			[]string{"203.0.113.0/24 via 10.9.1.2 dev u1 proto bgp metric 9", "203.0.113.0/24 via 10.9.2.2 dev u2 proto bgp metric 10", "203.0.113.0/24 via 10.9.1.3 dev u1 proto bgp metric 11"}, nil},
		{"source-specific",
			[]string{"-6 route add 2001:db8:5::/48 from fd09:2::/64 via fd09:2::2"}, []string{"2001:db8:5::/48 from fd09:2::/64 via fd09:2::2"}, nil},
		{"encapsulated",
			[]string{"route add 203.0.113.0/25 encap ip id 7 dst 10.9.1.2 dev u1"}, []string{"203.0.113.0/25  encap ip id 7"}, nil},
		{"owned",
			[]string{"route add 203.0.113.0/24 via 10.9.1.2 proto bgp", "-6 route add 2001:db8:5::/48 via fd09:1::2 proto bgp"},
			nil, []string{"203.0.113.0", "2001:db8:5::"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			for _, args := range tt.set {
				if args == terse {
					if out, err := runCommand("sysctl -qw net.ipv4.nexthop_compat_mode=0"); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
					continue
				}
				if out, err := runCommand("ip " + args); err != nil {
					if unsupported(err) {
						t.Logf("this kernel cannot make the route: %v", err)
						return
					}
					t.Fatal(out, err)
				}
			}
			tunnels := map[uint32]bool{h.index("tun0"): true}
			g, k := copied(t, tunnels)
			got := h.routes("-4") + h.routes("-6")
			for _, s := range tt.want {
				if !strings.Contains(got, s) {
					t.Errorf("no %q in\n%s", s, got)
				}
			}
			for _, s := range tt.wantNot {
				if strings.Contains(got, s) {
					t.Errorf("%q in\n%s", s, got)
				}
			}
			if n := differences(t, g, k, tunnels); n != 0 {
				t.Errorf("%d routes would be written again\n%s\nmain:\n%s%s", n, got, h.ip("route"), h.ip("-6 route"))
			}
		})
	}
}

// Two routers that advertise themselves get the same metric from the kernel.
func TestRouterAdvertisements(t *testing.T) {
	h := newHost(t)
	h.ip("-6 route del default metric 100")
	for _, dev := range []string{"u1", "u2"} {
		h.run("sysctl -qw net.ipv6.conf." + dev + ".accept_ra=2")
		h.run("sysctl -qw net.ipv6.conf." + dev + ".accept_ra_defrtr=1")
	}
	h.guard(nil)
	// Again and again, as a link-local address is not there from the start.
	advertised := func(dev string, lifetime uint16, ok func(copy string) bool) func() bool {
		return func() bool {
			if err := h.router.Do(func() error { return advertise(dev, lifetime) }); err != nil {
				t.Fatal(err)
			}
			return ok(h.routes("-6"))
		}
	}
	h.eventually("the first default route is copied", advertised("w1", 600, func(copy string) bool {
		return strings.Contains(copy, "dev u1 proto bgp metric 1024")
	}))
	h.eventually("both are, apart", advertised("w2", 600, func(copy string) bool {
		return strings.Count(copy, "default via fe80") == 2 && strings.Contains(copy, "dev u2 proto bgp metric 1025")
	}))
	if out := h.ip("-6 route show default"); strings.Count(out, "expires") != 2 || strings.Contains(out, "1025") {
		t.Errorf("the originals are not what this test is about:\n%s", out)
	}
	h.eventually("a router that has resigned is gone", advertised("w1", 0, func(copy string) bool {
		return strings.Count(copy, "default via fe80") == 1 && strings.Contains(copy, "dev u2 proto bgp metric 1024")
	}))
}

// advertise sends one router advertisement (RFC 4861, section 4.2).
func advertise(dev string, lifetime uint16) error {
	i, err := indexOf(dev)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	m := []byte{134, 0, 0, 0, 64, 0, byte(lifetime >> 8), byte(lifetime), 0, 0, 0, 0, 0, 0, 0, 0}
	to := &unix.SockaddrInet6{Addr: netip.MustParseAddr("ff02::1").As16(), ZoneId: i}
	err = unix.Sendto(fd, m, 0, to)
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

func TestManyForeignRoutes(t *testing.T) {
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 5_000
	}
	h := newHost(t)
	h.batch(n, "add")
	start := time.Now()
	g, k := copied(t, nil)
	t.Logf("first copy of %d routes: %v", n, time.Since(start))
	start = time.Now()
	syncAll(t, g, k, nil)
	idle := time.Since(start)
	t.Logf("reconciliation without a change: %v", idle)
	if d := differences(t, g, k, nil); d != 0 {
		t.Errorf("%d differences", d)
	}
	if idle > 30*time.Second { // what grows with the square takes minutes
		t.Errorf("a reconciliation of %d routes takes %v", n, idle)
	}
	_, stop := h.guard(nil)
	start = time.Now()
	h.batch(n, "del")
	deleted := time.Since(start)
	h.eventually("the copies are gone", func() bool { return !strings.Contains(h.routes("-4"), "100.0.") })
	t.Logf("deleted by another in %v, copy follows %v later", deleted, time.Since(start)-deleted)
	h.batch(n, "add")
	last := fmt.Sprintf("100.%d.%d.%d", (n-1)>>16, (n-1)>>8&255, (n-1)&255)
	h.eventually("the copies are back", func() bool { return strings.Contains(h.routes("-4"), last) })
	start = time.Now()
	stop()
	t.Logf("stop: %v", time.Since(start))
	if out := h.routes("-4"); out != "" {
		t.Errorf("%d routes left", strings.Count(out, "\n"))
	}
}

func (h *host) batch(n int, verb string) {
	h.t.Helper()
	if err := writeBatch(n, verb); err != nil {
		h.t.Fatal(err)
	}
}

func writeBatch(n int, verb string) error {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "route %s 100.%d.%d.%d/32 via 10.9.1.2 proto bird\n", verb, i>>16, i>>8&255, i&255)
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin, cmd.Stderr = &b, os.Stderr
	return cmd.Run()
}

// The copy equals the original after any sequence of foreign changes.
func TestRandomChanges(t *testing.T) {
	h := newHost(t)
	h.swallow()
	g, _ := h.guard(nil)
	k, err := openKernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	ways := map[string][]string{
		"-4": {"via 10.9.1.2", "via 10.9.2.2", "via 10.9.1.3", "dev u1", "dev tun0", "nexthop via 10.9.1.2 nexthop via 10.9.2.3", "nexthop via 10.9.1.3 nexthop dev tun0"},
		"-6": {"via fd09:1::2", "via fd09:2::2", "via fd09:1::3", "dev u1", "dev tun0", "nexthop via fd09:1::2 nexthop via fd09:2::3"},
	}
	dsts := map[string]string{"-4": "203.0.113.%d/32", "-6": "2001:db8:5::%d/128"}
	verbs := []string{"add", "append", "replace", "prepend", "del"}
	for range 300 {
		family := []string{"-4", "-6"}[r.IntN(2)]
		way := ways[family][r.IntN(len(ways[family]))]
		// Many of these fail, as there is nothing to delete or it is there already.
		_, _ = runCommand(fmt.Sprintf("ip %s route %s %s metric %d %s", family, verbs[r.IntN(len(verbs))],
			fmt.Sprintf(dsts[family], r.IntN(4)), 10+r.IntN(3), way))
	}
	tunnels := map[uint32]bool{h.index("tun0"): true}
	probe := &Guard{fibTable: g.fibTable, protocol: g.protocol}
	h.eventually("the copy equals the original", func() bool { return differences(t, probe, k, tunnels) == 0 })
}
