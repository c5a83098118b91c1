//go:build privileged

package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// The underlay of these tests is two veth pairs between two namespaces, and the far end
// has an address behind both:
//
//	near                                     far
//	  u0 10.9.0.1 fd09:0::1 ------ w0 10.9.0.2 fd09:0::2     lo 10.9.9.9 fd09:9::9
//	  u1 10.9.1.1 fd09:1::1 ------ w1 10.9.1.2 fd09:1::2
//
// The way to it is u0, and for who is bound to it, u1.
type underlays struct {
	t         *testing.T
	near, far *netns.NS
}

func newUnderlays(t *testing.T) *underlays {
	t.Helper()
	netns.RequireRoot(t)
	u := &underlays{t: t}
	for _, ns := range []**netns.NS{&u.near, &u.far} {
		var err error
		if *ns, err = netns.NewAnonymous(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*ns).Close() })
		// A namespace has its sysctls of IPv4 from the first one. With a strict rp_filter nothing from the far address would come in by u1.
		for knob, value := range map[string]string{
			"ipv6/conf/default/accept_dad": "0", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0",
		} {
			if err := (*ns).Do(func() error { return os.WriteFile("/proc/sys/net/"+knob, []byte(value), 0) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	u.in(u.far, "addr add 10.9.9.9/32 dev lo", "addr add fd09:9::9/128 dev lo")
	u.join(0)
	u.join(1)
	return u
}

func (u *underlays) in(ns *netns.NS, commands ...string) {
	u.t.Helper()
	for _, c := range commands {
		if err := ns.Do(func() error { return ip(strings.Fields(c)...) }); err != nil {
			u.t.Fatal(err)
		}
	}
}

// join makes pair i, or makes it again.
func (u *underlays) join(i int) {
	u.t.Helper()
	// Whoever calls ip(8) is in near; far has no name.
	if err := u.near.Do(func() error {
		sleep := exec.Command("sleep", "60")
		if err := u.far.Do(sleep.Start); err != nil {
			return err
		}
		defer sleep.Wait()
		defer sleep.Process.Kill()
		return ip("link", "add", fmt.Sprint("u", i), "type", "veth", "peer", "name", fmt.Sprint("w", i), "netns", fmt.Sprint(sleep.Process.Pid))
	}); err != nil {
		u.t.Fatal(err)
	}
	for host, ns := range map[int]*netns.NS{1: u.near, 2: u.far} {
		dev := fmt.Sprint(map[int]string{1: "u", 2: "w"}[host], i)
		u.in(ns, fmt.Sprintf("addr add 10.9.%d.%d/24 dev %s", i, host, dev),
			fmt.Sprintf("addr add fd09:%d::%d/64 dev %s nodad", i, host, dev), "link set "+dev+" up")
	}
	u.carrier(u.near, fmt.Sprint("u", i))
	u.carrier(u.far, fmt.Sprint("w", i))
	u.in(u.near, fmt.Sprintf("route add 10.9.9.9 via 10.9.%d.2 metric %d", i, 10+i),
		fmt.Sprintf("-6 route add fd09:9::9 via fd09:%d::2 metric %d", i, 10+i))
}

// carrier waits until an interface has one, which the kernel takes its time with.
func (u *underlays) carrier(ns *netns.NS, dev string) {
	u.t.Helper()
	var out []byte
	for deadline := time.Now().Add(patience); !strings.Contains(string(out), "state UP"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			u.t.Fatalf("no carrier: %s", out)
		}
		ns.Do(func() (err error) {
			out, err = exec.Command("ip", "link", "show", dev).CombinedOutput()
			return err
		})
	}
}

// endpoint runs one in a namespace.
func (u *underlays) endpoint(ns *netns.NS, key protocol.PrivateKey) *node {
	u.t.Helper()
	n := &node{t: u.t, e: NewEndpoint(Config{PrivateKey: key, Control: bindTo})}
	if err := ns.Do(func() error { return n.e.SetListenPort(0) }); err != nil {
		u.t.Fatal(err)
	}
	n.run(func(ctx context.Context) error {
		return ns.Do(func() error { return n.e.Run(ctx) })
	})
	return n
}

func bindTo(underlay string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		if underlay == "" {
			return nil
		}
		var bound error
		err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), underlay) })
		return errors.Join(err, bound)
	}
}

func (n *node) startIn(ns *netns.NS, c LinkConfig) (e *end) {
	n.t.Helper()
	ns.Do(func() error {
		e = n.start(c)
		return nil
	})
	return e
}

// waitFor polls until a status is as it should be.
func (n *end) waitFor(what string, ok func(tunnel.Status) bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !ok(n.l.Status()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: %+v", what, n.l.Status())
		}
	}
}

func isUp(s tunnel.Status) bool { return s.State == tunnel.StateUp }

// Three links over one port: each leaves by its own underlay.
func TestUnderlays(t *testing.T) {
	for _, host := range []string{"10.9.9.9", "[fd09:9::9]"} {
		t.Run(host, func(t *testing.T) {
			u := newUnderlays(t)
			farKey := protocol.NewPrivateKey()
			far := u.endpoint(u.far, farKey)
			near := u.endpoint(u.near, protocol.NewPrivateKey())
			for i, underlay := range []string{"", "u1", "u0"} {
				own := protocol.NewPrivateKey()
				c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: patience}
				there, here := c, c
				there.Name, there.PublicKey = "near", own.Public()
				here.Name, here.PrivateKey, here.PublicKey, here.Underlay = "far", own, farKey.Public(), underlay
				here.Remotes = []string{far.addr(host)}
				a := far.startIn(u.far, there)
				b := near.startIn(u.near, here)
				a.waitFor("the far end", isUp)
				b.waitFor("the near end", isUp)
				want := []string{"10.9.0.1", "fd09::1"}
				if underlay == "u1" {
					want = []string{"10.9.1.1", "fd09:1::1"}
				}
				from := a.l.Status().Remote
				if !slices.Contains(want, from.Addr().String()) || from.Port() != near.e.ListenPort() {
					t.Errorf("the link over %q leaves from %v", underlay, from)
				}
				f := frame(500, byte(i))
				b.dev.Frames <- f
				a.arrives(f)
				a.dev.Frames <- f
				b.arrives(f)
			}
			if n := len(near.e.bound); n != 2 {
				t.Errorf("%d underlays", n)
			}
		})
	}
}

// An underlay that is not there yet, and one that is made anew.
func TestUnderlayComesAndGoes(t *testing.T) {
	u := newUnderlays(t)
	u.in(u.near, "link del u1")
	farKey, nearKey := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	far, near := u.endpoint(u.far, farKey), u.endpoint(u.near, nearKey)
	c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: 3 * time.Second}
	c.Name, c.PublicKey = "near", nearKey.Public()
	far.startIn(u.far, c)
	c.Name, c.PublicKey, c.Underlay, c.Remotes = "far", farKey.Public(), "u1", []string{far.addr("10.9.9.9")}
	b := near.startIn(u.near, c)
	for range 2 {
		b.waitFor("without the underlay", func(s tunnel.Status) bool {
			return s.State == tunnel.StateConnecting && strings.Contains(s.LastError, "underlay u1: there is no such interface (yet)")
		})
		u.join(1)
		b.waitFor("with it", func(s tunnel.Status) bool { return isUp(s) && s.LastError == "" && s.Remote.Addr() != netip.Addr{} })
		u.in(u.near, "link del u1")
	}
	u.join(1)
	b.waitFor("made anew", isUp)
	b.stop()
	if n := len(near.e.bound); n != 0 {
		t.Errorf("%d underlays after the last link", n)
	}
}
