//go:build privileged

package paths

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
	"warren/internal/rtnl"
	"warren/internal/underlay"
)

const (
	patience = 50 * time.Second // less than the minute after which all is looked at without an event
	remote4  = "198.51.100.1"
	remote6  = "2001:db8:99::1"
)

// machine has two uplinks, u1 and u2, to w1 and w2 in another namespace. Its default routes
// prefer u1, where it has 10.9.1.1 and fd09:1::1; at u2 it is 10.9.2.1 and fd09:2::1.
type machine struct {
	t       *testing.T
	ns, far *netns.NS
	w       *Watcher
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, ns: netns.Test(t), w: New(underlay.Mark, slog.New(slog.DiscardHandler))}
	far, err := netns.NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	m.far = far
	m.run("ip link set lo up")
	for i := 1; i <= 2; i++ {
		m.run(fmt.Sprintf("ip link add u%d type veth peer name w%d", i, i))
		m.run(fmt.Sprintf("ip link set w%d netns /proc/self/fd/3", i), far)
		m.bringUp(i)
		m.inFar(fmt.Sprintf("ip link set w%d up", i))
	}
	m.waitFor("ip link show u2", "LOWER_UP")
	return m
}

// bringUp gives an uplink what it has when all is well.
func (m *machine) bringUp(i int) {
	m.t.Helper()
	m.run(fmt.Sprintf("ip link set u%d up", i))
	m.run(fmt.Sprintf("ip addr replace 10.9.%d.1/24 dev u%d", i, i))
	m.run(fmt.Sprintf("ip -6 addr replace fd09:%d::1/64 dev u%d nodad", i, i))
	m.run(fmt.Sprintf("ip route replace default via 10.9.%d.2 dev u%d metric %d00", i, i, i))
	m.run(fmt.Sprintf("ip -6 route replace default via fd09:%d::2 dev u%d metric %d00", i, i, i))
}

func (m *machine) run(command string, n ...*netns.NS) string {
	m.t.Helper()
	f := strings.Fields(command)
	cmd := exec.Command(f[0], f[1:]...)
	for _, n := range n {
		fd, err := unix.FcntlInt(uintptr(n.Fd()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			m.t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "netns")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

func (m *machine) inFar(command string) {
	m.t.Helper()
	if err := m.far.Do(func() error {
		f := strings.Fields(command)
		return exec.Command(f[0], f[1:]...).Run()
	}); err != nil {
		m.t.Fatalf("%s: %v", command, err)
	}
}

func (m *machine) waitFor(command, text string) {
	m.t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(m.run(command), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("%s never said %q", command, text)
		}
	}
}

// watch runs the watcher with events of its own.
func (m *machine) watch() {
	m.t.Helper()
	events, err := rtnl.Subscribe(rtnl.Hidden{}, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEXTHOP, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(events.Close)
	m.background(func(ctx context.Context) error {
		return events.Follow(ctx, func() (int, error) {
			n, err := events.Drain(func(h rtnl.Header, payload []byte) { m.w.Heard(h.Type, payload) })
			if errors.Is(err, rtnl.ErrLost) { // the machine was too busy to read them all
				m.w.Heard(0, nil)
				err = nil
			}
			return n, err
		})
	})
	m.background(m.w.Run)
}

// guarded runs the watcher with the events of a guard.
func (m *machine) guarded() {
	m.t.Helper()
	g, err := underlay.New(underlay.Config{FIBProtocol: 186, Logger: slog.New(slog.DiscardHandler), Heard: m.w.Heard})
	if err != nil {
		m.t.Fatal(err)
	}
	m.background(g.Run)
	select {
	case <-g.Ready():
	case <-time.After(patience):
		m.t.Fatal("the guard is not ready")
	}
	m.background(m.w.Run)
}

func (m *machine) background(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.ns.Do(func() error { return run(ctx) }); err != nil {
			m.t.Error(err)
		}
	}()
	m.t.Cleanup(func() { cancel(); <-done })
}

// told collects what is said of one flow.
type told struct {
	t    *testing.T
	name string
	all  chan string
}

func (m *machine) follow(s Socket, local, remote string) *told {
	m.t.Helper()
	c := &told{m.t, local + " to " + remote, make(chan string, 64)}
	var from netip.AddrPort
	if local != "" {
		from = netip.AddrPortFrom(netip.MustParseAddr(local), 40000)
	}
	stop := s.Follow(from, netip.AddrPortFrom(netip.MustParseAddr(remote), 443), func(lost bool, why string) {
		if lost {
			why = "lost: " + why
		}
		c.all <- why
	})
	m.t.Cleanup(stop)
	return c
}

func (c *told) wait(want string) {
	c.t.Helper()
	select {
	case got := <-c.all:
		if !strings.Contains(got, want) {
			c.t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	case <-time.After(patience):
		c.t.Errorf("%s: nothing was told, want %q", c.name, want)
	}
}

func (c *told) silent() {
	c.t.Helper()
	select {
	case got := <-c.all:
		c.t.Errorf("%s: %q", c.name, got)
	default:
	}
}

// settled waits until the watcher has looked at all that happened before.
func (m *machine) settled() {
	m.t.Helper()
	m.w.see(dirtyWays | dirtySight)
	for before, end := m.w.looks.Load(), time.Now().Add(patience); m.w.looks.Load() < before+2; time.Sleep(time.Millisecond) {
		m.w.see(dirtyWays)
		if time.Now().After(end) {
			m.t.Fatal("the watcher does not look")
		}
	}
}

// Each end of a way is noticed, for a connection and for packets whose source the kernel
// chooses, in both families, bound to the interface or not.
func TestWayIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		do             []string
		far            string
		want4, want6   string // of a connection
		free4, free6   string // of packets from any address
		bound4, bound6 string // of a connection that is bound to u1
	}{
		"link down": {
			do:    []string{"ip link set u1 down"},
			want4: "lost: interface u1 is down", want6: "lost: interface u1 is down",
			free4: "by interface u2 now", free6: "by interface u2 now",
			bound4: "lost: interface u1 is down", bound6: "lost: interface u1 is down",
		},
		"carrier lost": {
			far:   "ip link set w1 down",
			want4: "lost: interface u1 has no carrier", want6: "lost: interface u1 has no carrier",
			free4: "lost: interface u1 has no carrier", free6: "lost: interface u1 has no carrier", // without the guard
			bound4: "lost: interface u1 has no carrier", bound6: "lost: interface u1 has no carrier",
		},
		"interface gone": {
			do:    []string{"ip link del u1"},
			want4: "lost: interface u1 is gone", want6: "lost: interface u1 is gone",
			free4: "by interface u2 now", free6: "by interface u2 now",
			bound4: "lost: interface u1 is gone", bound6: "lost: interface u1 is gone",
		},
		"address removed": {
			do:    []string{"ip addr del 10.9.1.1/24 dev u1", "ip -6 addr del fd09:1::1/64 dev u1"},
			want4: "lost: the address 10.9.1.1 is gone", want6: "lost: the address fd09:1::1 is gone",
			free4:  "by interface u2 now", // the last one takes the routes along
			free6:  "another address of this machine",
			bound4: "lost: the address 10.9.1.1 is gone", bound6: "lost: the address fd09:1::1 is gone",
		},
		"route moved": {
			do:    []string{"ip route del default via 10.9.1.2", "ip -6 route del default via fd09:1::2"},
			want4: "by interface u2 now, instead of u1", want6: "by interface u2 now, instead of u1",
			free4: "by interface u2 now", free6: "by interface u2 now",
			bound4: "lost: this machine has no route to 198.51.100.1", bound6: "lost: this machine has no route to 2001:db8:99::1",
		},
		"routes removed": {
			do: []string{
				"ip route del default via 10.9.2.2", "ip -6 route del default via fd09:2::2",
				"ip route del default via 10.9.1.2", "ip -6 route del default via fd09:1::2",
			},
			want4: "lost: this machine has no route to 198.51.100.1", want6: "lost: this machine has no route to 2001:db8:99::1",
			free4: "lost: this machine has no route to", free6: "lost: this machine has no route to",
			bound4: "lost: this machine has no route to", bound6: "lost: this machine has no route to",
		},
		"told to be unreachable": {
			do:    []string{"ip route add unreachable 198.51.100.1", "ip -6 route add unreachable 2001:db8:99::1"},
			want4: "lost: this machine has no route to 198.51.100.1", want6: "lost: this machine has no route to 2001:db8:99::1",
			free4: "lost: ", free6: "lost: ", bound4: "lost: ", bound6: "lost: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.watch()
			tcp, udp, bound := m.w.Socket(unix.IPPROTO_TCP, ""), m.w.Socket(unix.IPPROTO_UDP, ""), m.w.Socket(unix.IPPROTO_TCP, "u1")
			flows := map[*told]string{
				m.follow(tcp, "10.9.1.1", remote4): c.want4, m.follow(tcp, "fd09:1::1", remote6): c.want6,
				m.follow(udp, "", remote4): c.free4, m.follow(udp, "", remote6): c.free6,
				m.follow(bound, "10.9.1.1", remote4): c.bound4, m.follow(bound, "fd09:1::1", remote6): c.bound6,
			}
			other4, other6 := m.follow(m.w.Socket(unix.IPPROTO_TCP, "u2"), "10.9.2.1", "10.9.2.2"), m.follow(tcp, "fd09:2::1", "fd09:2::2")
			m.settled()
			for f := range flows {
				f.silent()
			}
			for _, command := range c.do {
				m.run(command)
			}
			if c.far != "" {
				m.inFar(c.far)
			}
			for f, want := range flows {
				f.wait(want)
			}
			m.settled()
			for f := range flows {
				f.silent() // once is enough
			}
			other4.silent()
			other6.silent()
		})
	}
}

// With the guard, packets that may leave anywhere go on by another interface where one has lost
// its carrier, though the host's routes still lead there; and back when it has one again. A rule
// that comes or goes counts too.
func TestWithGuard(t *testing.T) {
	m := newMachine(t)
	m.guarded()
	tcp, udp := m.w.Socket(unix.IPPROTO_TCP, ""), m.w.Socket(unix.IPPROTO_UDP, "")
	conn4, conn6 := m.follow(tcp, "10.9.1.1", remote4), m.follow(tcp, "fd09:1::1", remote6)
	free4, free6 := m.follow(udp, "", remote4), m.follow(udp, "", remote6)
	m.settled()
	m.inFar("ip link set w1 down")
	conn4.wait("lost: interface u1 has no carrier")
	conn6.wait("lost: interface u1 has no carrier")
	for _, f := range []*told{free4, free6} {
		if why := <-f.all; strings.HasPrefix(why, "lost: interface u1 has no carrier") {
			why = <-f.all // on a machine that is too busy to let the guard in
			if !strings.Contains(why, "again, by interface u2") {
				t.Errorf("%s: %q", f.name, why)
			}
		} else if !strings.Contains(why, "by interface u2 now") {
			t.Errorf("%s: %q", f.name, why)
		}
	}
	m.inFar("ip link set w1 up")
	free4.wait("by interface u1 now")
	free6.wait("by interface u1 now")
	m.run("ip rule add to 198.51.100.1 priority 100 prohibit")
	free4.wait("lost: this machine has no route to 198.51.100.1: ")
	free6.silent()
}

// 100,000 routes to elsewhere come and go, and interfaces and addresses that no flow needs:
// nothing is told, and few looks are taken.
func TestUnrelatedChanges(t *testing.T) {
	m := newMachine(t)
	m.watch()
	flows := []*told{
		m.follow(m.w.Socket(unix.IPPROTO_TCP, ""), "10.9.1.1", remote4), m.follow(m.w.Socket(unix.IPPROTO_TCP, ""), "fd09:1::1", remote6),
		m.follow(m.w.Socket(unix.IPPROTO_UDP, ""), "", remote4), m.follow(m.w.Socket(unix.IPPROTO_UDP, ""), "", remote6),
	}
	m.settled()
	before := m.w.looks.Load()
	conn, err := rtnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	u2 := indexOf(t, m, "u2")
	const n, batch = 100_000, 500
	for _, typ := range []uint16{unix.RTM_NEWROUTE, unix.RTM_DELROUTE} {
		flags := uint16(0)
		if typ == unix.RTM_NEWROUTE {
			flags = unix.NLM_F_CREATE
		}
		for i := 0; i < n; i += batch {
			b := conn.Batch()
			for j := i; j < i+batch; j++ {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(j >> 16), byte(j >> 8), byte(j)}), 32)
				b.Route(typ, flags, rtnl.Route{Prefix: p, Index: u2, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST})
			}
			if err := b.Send(func(_ int, a rtnl.Answer) { t.Errorf("route: %v %s", a.Errno, a.Text) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The last of the events, so that all were read.
	m.run("ip tuntap add d0 mode tun")
	m.run("ip addr add 10.77.0.1/24 dev d0")
	m.run("ip link set d0 up")
	m.run("ip link del d0")
	m.settled()
	for _, f := range flows {
		f.silent()
	}
	if looks := m.w.looks.Load() - before; looks > 50 {
		t.Errorf("%d looks", looks)
	}
}

func indexOf(t *testing.T, m *machine, name string) (index uint32) {
	t.Helper()
	conn, err := rtnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	k := &kernel{conn: conn}
	s, _, err := k.sight()
	if err != nil || s.index(name) == 0 {
		t.Fatalf("no interface %s: %v", name, err)
	}
	return s.index(name)
}

// A flow that is not followed any more is not told of.
func TestStop(t *testing.T) {
	m := newMachine(t)
	m.watch()
	told := make(chan string, 8)
	stop := m.w.Socket(unix.IPPROTO_TCP, "").Follow(netip.MustParseAddrPort("10.9.1.1:40000"), netip.MustParseAddrPort(remote4+":443"),
		func(_ bool, why string) { told <- why })
	m.settled()
	stop()
	stop()
	m.run("ip link set u1 down")
	m.settled()
	if len(told) > 0 {
		t.Errorf("told %q", <-told)
	}
}

// An interface that goes between the look at all interfaces and that at a way is said to be gone.
func TestInterfaceGoesWhileLooking(t *testing.T) {
	m := newMachine(t)
	conn, err := rtnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	k := &kernel{conn: conn, mark: m.w.mark}
	flows := []*told{
		m.follow(m.w.Socket(unix.IPPROTO_TCP, "u1"), "10.9.1.1", remote4),
		m.follow(m.w.Socket(unix.IPPROTO_TCP, "u1"), "fd09:1::1", remote6),
	}
	m.w.look(k, time.Now())
	m.run("ip link del u1")
	m.w.dirty.Store(uint32(dirtyWays))
	m.w.look(k, time.Now())
	for _, f := range flows {
		f.wait("lost: interface u1 is gone")
	}
}
