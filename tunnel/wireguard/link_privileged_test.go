//go:build privileged

package wireguard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"

	"warren/internal/netns"
	"warren/tunnel"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
)

// router is one end of a tunnel whose interface is in a namespace of its own. The
// underlay is loopback, outside of both namespaces.
type router struct {
	id     byte
	ns     *netns.NS
	e      *Endpoint
	l      *Link
	events chan tunnel.Event
	stop   func() // and wait
}

func (r *router) addr() string { return fmt.Sprintf("127.0.0.1:%d", r.e.ListenPort()) }

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// newNS makes a namespace with an interface wgt0 that has 10.66.0.ID and fd66::ID.
func newNS(t *testing.T, id byte, queues int) (*netns.NS, *tun.Device) {
	t.Helper()
	ns, err := netns.NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	var dev *tun.Device
	if err := ns.Do(func() (err error) {
		if dev, err = tun.Open(tun.Config{Name: "wgt0", MTU: DefaultMTU, Queues: queues}); err != nil {
			return err
		}
		return errors.Join(
			ip("addr", "add", fmt.Sprintf("10.66.0.%d/24", id), "dev", "wgt0"),
			ip("addr", "add", fmt.Sprintf("fd66::%d/64", id), "dev", "wgt0", "nodad"),
			ip("link", "set", "wgt0", "up"))
	}); err != nil {
		t.Fatal(err)
	}
	return ns, dev
}

func startRouter(t *testing.T, id byte, queues int, key protocol.PrivateKey, peer protocol.PublicKey, remotes ...string) *router {
	t.Helper()
	return startRouterWith(t, id, queues, key, LinkConfig{
		Name: "peer", PublicKey: peer, Remotes: remotes, Keepalive: 200 * time.Millisecond, DeadAfter: 15 * time.Second,
	})
}

// startRouterWith starts a router whose link has this config and a device of its own.
func startRouterWith(t *testing.T, id byte, queues int, key protocol.PrivateKey, c LinkConfig) *router {
	t.Helper()
	ns, dev := newNS(t, id, queues)
	r := &router{id: id, ns: ns, e: NewEndpoint(Config{PrivateKey: key}), events: make(chan tunnel.Event, 16)}
	if err := r.e.SetListenPort(0); err != nil {
		t.Fatal(err)
	}
	if c.Device = dev; c.Events == nil {
		c.Events = func(ev tunnel.Event) { r.events <- ev }
	}
	var err error
	if r.l, err = r.e.AddLink(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- r.e.Run(ctx) }()
	go func() { ended <- r.l.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(r.stop)
	return r
}

func newRouters(t *testing.T, queues int) (a, b *router) {
	t.Helper()
	netns.RequireRoot(t)
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	b = startRouter(t, 2, queues, keyB, keyA.Public())
	a = startRouter(t, 1, queues, keyA, keyB.Public(), b.addr())
	for _, r := range []*router{a, b} {
		select {
		case ev := <-r.events:
			if !ev.Up {
				t.Fatalf("event %+v", ev)
			}
		case <-time.After(patience):
			t.Fatalf("nothing happened: %+v", r.l.Status())
		}
	}
	return a, b
}

// transfer sends data from one namespace to an address of the other through the
// kernel's TCP, and returns how long it took.
func transfer(t *testing.T, from, to *netns.NS, host string, size int) time.Duration {
	t.Helper()
	var l net.Listener
	var c net.Conn
	if err := to.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := from.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", l.Addr().String(), patience)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	deadline := time.Now().Add(3 * patience)
	c.SetDeadline(deadline)
	s.SetDeadline(deadline)
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data)
	began := time.Now()
	go func() {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(s)
	took := time.Since(began)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d of %d bytes: %v", len(got), size, err)
	}
	return took
}

func TestTransferBetweenKernels(t *testing.T) {
	for _, queues := range []int{1, 2} {
		t.Run(fmt.Sprint(queues, " queues"), func(t *testing.T) {
			a, b := newRouters(t, queues)
			const size = 32 << 20
			for _, host := range []string{"10.66.0.2", "fd66::2"} {
				took := transfer(t, a.ns, b.ns, host, size)
				t.Logf("to %s: %.1f Gbit/s", host, size*8/took.Seconds()/1e9)
			}
			transfer(t, b.ns, a.ns, "fd66::1", size)
			for _, r := range []*router{a, b} {
				s := r.l.Status().Stats
				t.Logf("%+v", s)
				if s.RxBytes < size || s.TxBytes < size {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// UDP of all sizes up to what the kernel cuts itself, in both families.
func TestPingBetweenKernels(t *testing.T) {
	a, _ := newRouters(t, 1)
	for _, host := range []string{"10.66.0.2", "fd66::2"} {
		for _, size := range []string{"0", "1", "56", "1372", "1392", "8000"} {
			if err := a.ns.Do(func() error {
				if out, err := exec.Command("ping", "-c2", "-i0.05", "-W30", "-s", size, host).CombinedOutput(); err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			}); err != nil {
				t.Errorf("%s, %s bytes: %v", host, size, err)
			}
		}
	}
}
