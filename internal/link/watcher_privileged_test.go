//go:build privileged

package link

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"reflect"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
	"warren/internal/rtnl"
)

// waits is how long a watcher has to see something: less than the minute after which it would look without an event, and more than
// a few looks on a busy machine take, with the rests between them.
const waits = 50 * time.Second

// watch runs a watcher in the test's namespace until the test ends.
func watch(t *testing.T, owned ...int) *Watcher {
	t.Helper()
	w, err := NewWatcher(WatcherConfig{Owned: owned})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
			w.Close()
		case <-time.After(30 * time.Second):
			t.Error("Run does not end")
		}
	})
	return w
}

// becomes waits on Changed until Locals is want.
func becomes(t *testing.T, w *Watcher, what, want string, r Redistribute, globs ...string) {
	t.Helper()
	start, timeout := time.Now(), time.After(waits)
	for {
		got := w.Locals(r, globs, func(n string) bool { return n == "site-b" })
		if slices.Equal(got, prefixes(want)) {
			t.Logf("%s: after %v", what, time.Since(start).Round(time.Millisecond))
			return
		}
		select {
		case <-w.Changed():
		case <-timeout:
			t.Fatalf("%s: Locals is %v; want %s", what, got, want)
		}
	}
}

func lan(t *testing.T) {
	netns.Test(t)
	ip(t, "link add lan0 type veth peer name host0")
	ip(t, "link set lan0 up")
	ip(t, "link set host0 up")
}

func TestWatchConnected(t *testing.T) {
	lan(t)
	ip(t, "addr add 10.1.0.1/24 dev lan0")
	w := watch(t, 186)
	c := Redistribute{Connected: true}
	becomes(t, w, "what was there", "10.1.0.0/24", c, "lan*")
	ip(t, "addr add 2001:db8:1::1/64 dev lan0")
	becomes(t, w, "an address comes", "10.1.0.0/24 2001:db8:1::/64", c, "lan*")
	ip(t, "addr add 10.2.0.1/16 dev lan0 noprefixroute")
	ip(t, "addr add 10.255.0.1/32 dev lo")
	becomes(t, w, "a service address", "10.1.0.0/24 10.255.0.1/32 2001:db8:1::/64", c, "lan*", "lo")
	ip(t, "route add 10.2.0.0/16 dev lan0 scope link proto dhcp")
	becomes(t, w, "a manager's own subnet route", "10.1.0.0/24 10.2.0.0/16 2001:db8:1::/64", c, "lan*")
	ip(t, "addr del 10.1.0.1/24 dev lan0")
	becomes(t, w, "an address goes", "10.2.0.0/16 2001:db8:1::/64", c, "lan*")
	ip(t, "addr del 10.2.0.1/16 dev lan0")
	ip(t, "addr add 10.3.0.1 peer 10.3.0.2/32 dev lan0")
	becomes(t, w, "a point-to-point address", "10.3.0.2/32 2001:db8:1::/64", c, "lan*")
	ip(t, "link set host0 down")
	becomes(t, w, "the carrier goes", "", c, "lan*")
	ip(t, "link set host0 up")
	becomes(t, w, "the carrier comes", "10.3.0.2/32 2001:db8:1::/64", c, "lan*")
	ip(t, "link set lan0 down") // the IPv6 address goes with it
	becomes(t, w, "the link goes down", "", c, "lan*")
	ip(t, "link set lan0 up")
	becomes(t, w, "the link comes up", "10.3.0.2/32", c, "lan*")
	ip(t, "link set lan0 name eth7")
	becomes(t, w, "another name", "", c, "lan*")
	ip(t, "link set eth7 name lan7")
	becomes(t, w, "a name that matches", "10.3.0.2/32", c, "lan*")
	ip(t, "link del lan7")
	becomes(t, w, "the link is deleted", "", c, "lan*")
}

// What is changed of a TUN device from outside is seen.
func TestWatchInterfaces(t *testing.T) {
	netns.Test(t)
	device := openTUN(t, "site-b")
	defer device.Close()
	made, err := net.InterfaceByName("site-b")
	if err != nil {
		t.Fatal(err)
	}
	w := watch(t, 186)
	for _, step := range []struct {
		what   string
		change func() error
		want   Interface
	}{
		{"down", func() error { return nil }, Interface{}},
		{"up", func() error { return SetUp("site-b", 0) }, Interface{Up: true, Carrier: true}},
		{"no carrier", func() error { ip(t, "link set site-b carrier off"); return nil }, Interface{Up: true}},
		{"persistent", func() error { return unix.IoctlSetInt(int(device.Fd()), unix.TUNSETPERSIST, 1) }, Interface{Up: true, Persistent: true}},
		{"carrier", func() error { ip(t, "link set site-b carrier on"); return nil }, Interface{Up: true, Carrier: true, Persistent: true}},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		step.want.Index = made.Index
		timeout := time.After(waits)
		for {
			all, _ := w.Interfaces()
			got := all["site-b"]
			got.Addresses = nil // the kernel's own, which come and go
			if reflect.DeepEqual(got, step.want) {
				break
			}
			select {
			case <-w.Changed():
			case <-timeout:
				t.Fatalf("%s: %+v; want %+v", step.what, got, step.want)
			}
		}
	}
}

func TestWatchRoutes(t *testing.T) {
	lan(t)
	ip(t, "addr add 10.1.0.1/24 dev lan0")
	ip(t, "addr add 2001:db8:1::1/64 dev lan0 nodad")
	ip(t, "tuntap add mode tun name site-b")
	ip(t, "link set site-b up")
	w := watch(t, 186, 187)
	s, k := Redistribute{Static: true}, Redistribute{Kernel: true}

	ip(t, "route add default via 10.1.0.2")
	ip(t, "route add default via 10.1.0.2 metric 9 proto static")
	ip(t, "-6 route add default via 2001:db8:1::2 proto static")
	ip(t, "route add 172.16.0.0/16 via 10.1.0.2") // boot
	ip(t, "-6 route add 2001:db8:16::/48 via 2001:db8:1::2 proto static")
	ip(t, "route add 172.17.0.0/16 dev site-b proto static")
	ip(t, "route add 172.18.0.0/16 dev lan0 proto bgp")
	ip(t, "route add 172.19.0.0/16 dev lan0 proto 187")
	ip(t, "route add 172.20.0.0/16 via 10.1.0.2 proto static table 77")
	ip(t, "route add 172.21.0.0/16 via 10.1.0.2 proto ospf")
	ip(t, "route add blackhole 172.22.0.0/16 proto static")
	ip(t, "-6 route add unreachable 2001:db8:22::/48 proto static")
	ip(t, "route add 172.23.0.0/16 proto static nexthop via 10.1.0.2 dev lan0 nexthop via 10.1.0.3 dev lan0")
	becomes(t, w, "static routes", "172.16.0.0/16 172.23.0.0/16 2001:db8:16::/48", s, "lan*")
	becomes(t, w, "static routes of all", "172.16.0.0/16 172.22.0.0/16 172.23.0.0/16 2001:db8:16::/48 2001:db8:22::/48", s)
	becomes(t, w, "kernel routes", "172.21.0.0/16", k, "lan*")

	ip(t, "route del 172.16.0.0/16")
	becomes(t, w, "one goes", "172.23.0.0/16 2001:db8:16::/48", s, "lan*")
	ip(t, "route replace 172.21.0.0/16 via 10.1.0.2 proto static")
	becomes(t, w, "one is replaced", "172.21.0.0/16 172.23.0.0/16 2001:db8:16::/48", s, "lan*")
	ip(t, "link set lan0 down") // no event for the IPv4 routes
	becomes(t, w, "the link goes down", "", s, "lan*")
}

func TestWatchConnectedPrefixes(t *testing.T) {
	lan(t)
	ip(t, "addr add 10.1.0.1/24 dev lan0")
	ip(t, "tuntap add mode tun name site-b")
	ip(t, "link set site-b up")
	ip(t, "addr add fd00::1/127 dev site-b")
	w := watch(t)
	if got := w.Connected(); !slices.Equal(got, prefixes("10.1.0.0/24 10.1.0.1/32 fd00::/127 fd00::1/128")) {
		t.Errorf("Connected is %v", got)
	}
}

// TestWatchGateways: a gateway need not be in a connected prefix.
func TestWatchGateways(t *testing.T) {
	lan(t)
	ip(t, "addr add 203.0.113.9/32 dev lan0")
	ip(t, "addr add 2001:db8:1::9/128 dev lan0 nodad")
	w := watch(t, 186)
	until := func(what, gateways, connected string) {
		t.Helper()
		timeout := time.After(waits)
		for {
			g, c := w.Gateways(), w.Connected()
			if fmt.Sprint(g) == "["+gateways+"]" && slices.Equal(c, prefixes(connected)) {
				return
			}
			select {
			case <-w.Changed():
			case <-timeout:
				t.Fatalf("%s: gateways are %v, connected is %v", what, g, c)
			}
		}
	}
	until("no routes", "", "203.0.113.9/32 2001:db8:1::9/128")
	ip(t, "route add 203.0.113.1 dev lan0 proto dhcp")
	ip(t, "route add default via 203.0.113.1 dev lan0")
	until("a host route to the gateway", "203.0.113.1", "203.0.113.1/32 203.0.113.9/32 2001:db8:1::9/128")
	ip(t, "route del default")
	ip(t, "route del 203.0.113.1 dev lan0")
	ip(t, "route add default via 203.0.113.2 dev lan0 onlink")
	ip(t, "-6 route add default via 2001:db8:2::1 dev lan0 onlink")
	until("onlink", "203.0.113.2 2001:db8:2::1", "203.0.113.9/32 2001:db8:1::9/128")
	ip(t, "route add 10.5.0.0/16 proto static nexthop via 203.0.113.3 dev lan0 onlink nexthop via 203.0.113.4 dev lan0 onlink")
	ip(t, "route add 10.6.0.0/16 via inet6 2001:db8:2::2 dev lan0 onlink")
	ip(t, "route add 10.7.0.0/16 via inet6 fe80::2 dev lan0")
	ip(t, "route add 10.8.0.0/16 via 203.0.113.5 dev lan0 onlink proto 186") // owned
	until("several", "203.0.113.2 203.0.113.3 203.0.113.4 2001:db8:2::1 2001:db8:2::2", "203.0.113.9/32 2001:db8:1::9/128")
	ip(t, "route del 10.5.0.0/16")
	if out, err := exec.Command("sysctl", "-qw", "net.ipv4.nexthop_compat_mode=0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ip(t, "nexthop add id 1 via 203.0.113.7 dev lan0 onlink")
	ip(t, "nexthop add id 2 via 203.0.113.8 dev lan0 onlink")
	ip(t, "nexthop add id 10 group 1/2")
	ip(t, "route add 10.9.0.0/16 nhid 10")
	until("by a group that is not spelled out", "203.0.113.2 203.0.113.7 203.0.113.8 2001:db8:2::1 2001:db8:2::2", "203.0.113.9/32 2001:db8:1::9/128")
	ip(t, "route del 10.9.0.0/16")
	until("some go", "203.0.113.2 2001:db8:2::1 2001:db8:2::2", "203.0.113.9/32 2001:db8:1::9/128")
}

// TestOwnRoutesAreSilent: what the FIB writes must not make the watcher work.
func TestOwnRoutesAreSilent(t *testing.T) {
	lan(t)
	e, err := rtnl.Subscribe(rtnl.Hidden{Protocols: []int{186, 187}}, groups...)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for proto, want := range map[int]int{186: 0, 187: 0, 188: 4, unix.RTPROT_STATIC: 4} {
		for _, prefix := range []string{"172.16.0.0/16", "2001:db8::/32"} {
			ip(t, fmt.Sprintf("route add %s dev lan0 proto %d", prefix, proto))
			ip(t, fmt.Sprintf("route del %s dev lan0 proto %d", prefix, proto))
		}
		if n := routeEvents(t, e, proto); n != want {
			t.Errorf("protocol %d: %d events, want %d", proto, n, want)
		}
	}
}

// routeEvents takes what has arrived and counts the routes of one protocol.
// The kernel's own, which come and go with the interface, may be among it.
func routeEvents(t *testing.T, e *rtnl.Events, proto int) (n int) {
	t.Helper()
	_, err := e.Drain(func(h rtnl.Header, b []byte) {
		r, ok := rtnl.ParseRoute(b)
		if ok && (h.Type == unix.RTM_NEWROUTE || h.Type == unix.RTM_DELROUTE) && int(r.Protocol) == proto {
			n++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
