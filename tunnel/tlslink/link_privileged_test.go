//go:build privileged

package tlslink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"warren/internal/netns"
	"warren/tunnel"
	"warren/tunnel/tun"
)

// router is one end of a tunnel whose interface is in a namespace of its own. The
// underlay is loopback, outside of both namespaces.
type router struct {
	id       byte
	ns       *netns.NS
	endpoint *Endpoint
	dev      *tun.Device
	link     *Link
	events   chan tunnel.Event
	stop     context.CancelFunc
}

// newRouters runs a tunnel between 10.66.0.1, which dials, and 10.66.0.2.
func newRouters(t *testing.T, mtu, queues int) (a, b *router) {
	t.Helper()
	return newRenewingRouters(t, mtu, queues, defaultRenewal)
}

func newRenewingRouters(t *testing.T, mtu, queues int, r renewal) (a, b *router) {
	t.Helper()
	netns.RequireRoot(t)
	b = startRouter(t, 2, mtu, queues, r)
	a = startRouter(t, 1, mtu, queues, r, b.endpoint.Listening()[0].String())
	for _, r := range []*router{a, b} {
		if ev := r.next(t); !ev.Up {
			t.Fatalf("event %+v", ev)
		}
	}
	return a, b
}

func (r *router) next(t *testing.T) tunnel.Event {
	t.Helper()
	select {
	case ev := <-r.events:
		return ev
	case <-time.After(patience):
		t.Fatalf("nothing happened: %+v", r.link.Status())
		panic("unreachable")
	}
}

func startRouter(t *testing.T, id byte, mtu, queues int, renewal renewal, remotes ...string) *router {
	t.Helper()
	ns, err := netns.NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	r := &router{id: id, ns: ns, events: make(chan tunnel.Event, 16), endpoint: NewEndpoint(Config{Identity: tunnel.Identity{id}})}
	r.endpoint.renewal = renewal
	if err := ns.Do(func() (err error) {
		if r.dev, err = tun.Open(tun.Config{Name: "tt0", MTU: mtu, Queues: queues}); err != nil {
			return err
		}
		return errors.Join(ip("addr", "add", fmt.Sprintf("10.66.0.%d/24", id), "dev", "tt0"), ip("link", "set", "tt0", "up"))
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.endpoint.SetListen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}); err != nil {
		t.Fatal(err)
	}
	r.link, err = r.endpoint.AddLink(LinkConfig{
		Name: "peer", Trust: secretTrust(0), Remotes: remotes, Device: r.dev,
		Keepalive: 200 * time.Millisecond, DeadAfter: 15 * time.Second, Events: func(ev tunnel.Event) { r.events <- ev },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	ended := make(chan error, 2)
	go func() { ended <- r.endpoint.Run(ctx) }()
	go func() { ended <- r.link.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return r
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// transfer sends data from one end of the tunnel to the other through the kernel.
func transfer(t *testing.T, from, to *router, size int) {
	t.Helper()
	var l net.Listener
	var c net.Conn
	if err := to.ns.Do(func() (err error) {
		l, err = net.Listen("tcp4", "0.0.0.0:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := bytes.Repeat([]byte("warren"), size/6)
	received := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			received <- nil
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * patience))
		all, _ := io.ReadAll(c)
		received <- all
	}()
	if err := from.ns.Do(func() (err error) {
		c, err = net.DialTimeout("tcp4", fmt.Sprintf("10.66.0.%d:%d", to.id, l.Addr().(*net.TCPAddr).Port), patience)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(2 * patience))
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := <-received; !bytes.Equal(got, data) {
		t.Fatalf("%d bytes arrived, want %d, and the same", len(got), len(data))
	}
}

// Kernel to kernel, through two real interfaces: streams both ways, with MTUs
// below and above that of any path.
func TestTunnelBetweenKernels(t *testing.T) {
	for _, tc := range []struct{ mtu, queues int }{{1500, 1}, {1500, 4}, {1280, 2}, {9000, 2}, {tun.MaxMTU, 4}} {
		t.Run(fmt.Sprintf("mtu=%d,queues=%d", tc.mtu, tc.queues), func(t *testing.T) {
			a, b := newRouters(t, tc.mtu, tc.queues)
			transfer(t, a, b, 40<<20)
			transfer(t, b, a, 4<<20)
			if err := a.ns.Do(func() error { // larger than the MTU's fragments, and than a TLS record
				out, err := exec.Command("ping", "-c3", "-i0.05", "-W30", "-s20000", "10.66.0.2").CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, r := range []*router{a, b} {
				if st := r.link.Status(); st.State != tunnel.StateUp {
					t.Fatalf("status %+v", st)
				}
			}
		})
	}
}

// The interface's carrier is that of the session, and the interface goes with the
// link.
func TestCarrierOfARealInterface(t *testing.T) {
	a, b := newRouters(t, 1500, 2)
	carrier := func() string {
		var out []byte
		if err := a.ns.Do(func() (err error) {
			out, err = exec.Command("ip", "link", "show", "tt0").CombinedOutput()
			return err
		}); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if got := carrier(); !strings.Contains(got, "LOWER_UP") {
		t.Fatalf("up, and no carrier: %s", got)
	}
	b.stop()
	if ev := a.next(t); ev.Up {
		t.Fatalf("event %+v", ev)
	}
	// The kernel says it at once, and acts on it later, in up to a second.
	if got := carrier(); strings.Contains(got, "LOWER_UP") {
		t.Fatalf("down, and a carrier: %s", got)
	}
	poll(t, func() bool { return strings.Contains(carrier(), "NO-CARRIER") }, func() string { return "down, and a carrier: " + carrier() })
	<-b.link.done
	if err := b.ns.Do(func() error { return ip("link", "show", "tt0") }); err == nil {
		t.Fatal("the interface is still there")
	}
}

// Connections are replaced while packets go through: pings, of which none is lost, comes
// twice or is overtaken, and streams both ways.
func TestKeysAreReplacedUnderTraffic(t *testing.T) {
	a, b := newRenewingRouters(t, 1500, 4, renewal{age: 400 * time.Millisecond, records: 1 << 40, limit: 1 << 40})
	// Streams and pings that wait for too long on a busy machine are marked, and not dropped.
	for _, r := range []*router{a, b} {
		if err := r.ns.Do(func() error { return exec.Command("sysctl", "-qw", "net.ipv4.tcp_ecn=1").Run() }); err != nil {
			t.Fatal(err)
		}
	}
	// The kernel sends nothing for a moment after the carrier came.
	poll(t, func() bool {
		return a.ns.Do(func() error { return exec.Command("ping", "-c1", "-W1", "10.66.0.2").Run() }) == nil
	}, func() string { return "no ping comes through" })
	const pinged = 400
	pings := make(chan string, 1)
	go func() {
		var out []byte
		err := a.ns.Do(func() (err error) {
			// It waits for the last answers only for as long as two round trips.
			out, err = exec.Command("ping", "-c", fmt.Sprint(pinged+200), "-i0.01", "-Q2", "-W5", "10.66.0.2").CombinedOutput()
			return err
		})
		pings <- fmt.Sprint(string(out), err)
	}()
	first, last, replaced := a.link.routes[0].Load(), a.link.routes[0].Load(), 0
	for replaced < 10 {
		transfer(t, a, b, 4<<20)
		transfer(t, b, a, 4<<20)
		if now := a.link.routes[0].Load(); now != last {
			last = now
			replaced++
		}
	}
	if first == last {
		t.Fatal("the connection is the first one still")
	}
	out := <-pings
	if strings.Contains(out, "DUP!") {
		t.Fatal(out)
	}
	seq := 0
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, "icmp_seq="); ok {
			var n int
			fmt.Sscan(rest, &n)
			if n != seq+1 {
				t.Fatalf("ping %d came after %d", n, seq)
			}
			seq = n
		}
	}
	if seq < pinged {
		t.Fatalf("%d pings are answered, want %d at least: %s", seq, pinged, out)
	}
	for _, r := range []*router{a, b} {
		if st := r.link.Status(); st.Stats.Drops > 0 || len(r.events) > 0 {
			t.Fatalf("%+v, events %d", st, len(r.events))
		}
	}
}
