//go:build privileged

package tlslink

import (
	"context"
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
	"warren/internal/underlay"
	"warren/internal/underlay/paths"
	"warren/tunnel"
)

// uplinks is a router with two uplinks, u1 and u2, to w1 and w2 of a far one, whose
// address is reached by u1 as long as that is there.
type uplinks struct {
	t   *testing.T
	far *netns.NS
}

func newUplinks(t *testing.T) *uplinks {
	t.Helper()
	far, err := netns.NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	u := &uplinks{t: t, far: far}
	fd, err := unix.FcntlInt(uintptr(far.Fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "netns")
	t.Cleanup(func() { file.Close(); far.Close() })
	for _, run := range []func(string){func(c string) { u.here(c) }, u.there} {
		run("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0") // a neighbor is not asked from a tentative address
		run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
	}
	u.here("ip link set lo up")
	u.there("ip link set lo up")
	u.there("ip addr add 198.51.100.1/32 dev lo")
	u.there("ip -6 addr add 2001:db8:99::1/128 dev lo nodad")
	for i := 1; i <= 2; i++ {
		u.here(fmt.Sprintf("ip link add u%d type veth peer name w%d", i, i))
		t.Cleanup(func() { u.here(fmt.Sprintf("ip link del u%d", i)) })
		u.here(fmt.Sprintf("ip link set w%d netns /proc/self/fd/3", i), file)
		u.here(fmt.Sprintf("ip link set u%d up", i))
		u.there(fmt.Sprintf("ip link set w%d up", i))
		u.here(fmt.Sprintf("ip addr add 10.9.%d.1/24 dev u%d", i, i))
		u.there(fmt.Sprintf("ip addr add 10.9.%d.2/24 dev w%d", i, i))
		u.here(fmt.Sprintf("ip -6 addr add fd09:%d::1/64 dev u%d nodad", i, i))
		u.there(fmt.Sprintf("ip -6 addr add fd09:%d::2/64 dev w%d nodad", i, i))
		u.here(fmt.Sprintf("ip route add default via 10.9.%d.2 metric %d00", i, i))
		u.here(fmt.Sprintf("ip -6 route add default via fd09:%d::2 metric %d00", i, i))
	}
	return u
}

func (u *uplinks) here(command string, files ...*os.File) {
	u.t.Helper()
	f := strings.Fields(command)
	cmd := exec.Command(f[0], f[1:]...)
	cmd.ExtraFiles = files
	if out, err := cmd.CombinedOutput(); err != nil {
		u.t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func (u *uplinks) there(command string) {
	u.t.Helper()
	f := strings.Fields(command)
	if err := u.far.Do(func() error { return exec.Command(f[0], f[1:]...).Run() }); err != nil {
		u.t.Fatalf("%s: %v", command, err)
	}
}

// watch runs a guard and a watcher that has its events.
func (u *uplinks) watch() *paths.Watcher {
	u.t.Helper()
	log := slog.New(slog.DiscardHandler)
	w := paths.New(underlay.Mark, log)
	g, err := underlay.New(underlay.Config{FIBProtocol: 186, Logger: log, Heard: w.Heard})
	if err != nil {
		u.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- g.Run(ctx) }()
	go func() { ended <- w.Run(ctx) }()
	u.t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				u.t.Error(err)
			}
		}
	})
	select {
	case <-g.Ready():
	case <-time.After(patience):
		u.t.Fatal("the guard is not ready")
	}
	return w
}

// What becomes of the way of a tunnel's connection in the kernel takes the tunnel down at once,
// and it comes up again by what is left, long before anybody would miss keepalives. Where the
// connection works by another way it goes on.
func TestWaysInTheKernel(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	for name, c := range map[string]struct {
		do   func(u *uplinks)
		want string // why the tunnel goes down; "": it does not
		then func(u *uplinks)
	}{
		"link down":    {do: func(u *uplinks) { u.here("ip link set u1 down") }, want: "interface u1 is down"},
		"carrier lost": {do: func(u *uplinks) { u.there("ip link set w1 down") }, want: "interface u1 has no carrier"},
		"address removed": {do: func(u *uplinks) {
			u.here("ip addr flush dev u1")
		}, want: "the address "},
		"routes removed, and one comes back": {
			do: func(u *uplinks) {
				for _, via := range []string{"via 10.9.2.2", "via 10.9.1.2"} {
					u.here("ip route del default " + via)
				}
				for _, via := range []string{"via fd09:2::2", "via fd09:1::2"} {
					u.here("ip -6 route del default " + via)
				}
			},
			want: "this machine has no route to ",
			then: func(u *uplinks) {
				u.here("ip route add default via 10.9.2.2")
				u.here("ip -6 route add default via fd09:2::2")
			},
		},
		"another way that works": {do: func(u *uplinks) {
			u.here("ip route del default via 10.9.1.2")
			u.here("ip -6 route del default via fd09:1::2")
		}},
		"another way that does not": {
			do: func(u *uplinks) {
				u.there("ip route add blackhole 10.9.1.1/32")
				u.there("ip -6 route add blackhole fd09:1::1/128")
				u.here("ip route del default via 10.9.1.2")
				u.here("ip -6 route del default via fd09:1::2")
			},
			want: " is reached by interface u2 now, instead of u1, and the peer has not answered since",
		},
	} {
		for _, remote := range []string{"198.51.100.1", "2001:db8:99::1"} {
			t.Run(name+", "+remote, func(t *testing.T) {
				u := newUplinks(t)
				w := u.watch()
				a := newEnd(t, Config{Identity: tunnel.Identity{1}, Control: Control(underlay.Control(""))}, "a")
				b := newEnd(t, Config{Identity: tunnel.Identity{2}}, "b")
				for _, e := range []*end{a, b} {
					e.cfg.Keepalive, e.cfg.DeadAfter = 20*time.Second, time.Minute
				}
				a.cfg.Paths = w.Socket(unix.IPPROTO_TCP, "")
				if err := u.far.Do(func() error {
					return b.endpoint.SetListen([]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(remote), 0)})
				}); err != nil {
					t.Fatal(err)
				}
				b.start(secretTrust(0))
				a.start(secretTrust(0), b.addr())
				a.waitEvents(1)
				b.waitEvents(1)
				exchangePackets(t, a, b)
				poll(t, func() bool { return a.link.Status().RTT != 0 }, func() string { return "the first ping was not answered" })
				asked := a.link.Status().RTT
				c.do(u)
				if c.want == "" {
					poll(t, func() bool { return a.link.Status().RTT != asked }, func() string { return "the peer was not asked" })
					exchangePackets(t, a, b)
					if evs := a.seen(); len(evs) != 1 {
						t.Errorf("events %+v", evs)
					}
					return
				}
				evs := a.waitEvents(2)
				if evs[1].Up || !strings.Contains(evs[1].Reason, c.want) {
					t.Fatalf("events %+v, want %q", evs[1:], c.want)
				}
				if c.then != nil {
					c.then(u)
				}
				if evs = a.waitEvents(3); !evs[2].Up || evs[2].Time.Sub(evs[0].Time) > time.Minute {
					t.Errorf("events %+v", evs[2:])
				}
				b.waitEvents(3)
				exchangePackets(t, a, b)
			})
		}
	}
}
