//go:build privileged

package external

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/link"
	"warren/internal/netns"
	"warren/tunnel"
)

const (
	keepalive = 100 * time.Millisecond
	deadAfter = 2 * time.Second
	patience  = 60 * time.Second
)

// ip runs ip(8) in the calling thread's namespace.
func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// A far is the far end of tun0, which this process plays.
type far struct {
	f       *os.File
	answers atomic.Bool // it answers pings
	lies    atomic.Bool // but spoils the last byte of the token

	answered atomic.Pointer[time.Time] // the last ping
}

// openTun makes tun0, with nothing set up.
func openTun(t *testing.T) *far {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	req, err := unix.NewIfreq("tun0")
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	f := &far{f: os.NewFile(uintptr(fd), "tun0")} // after TUNSETIFF: only then can it be polled
	f.answers.Store(true)
	t.Cleanup(func() { _ = f.f.Close() })
	go f.work()
	return f
}

func (f *far) work() {
	buf := make([]byte, 1<<16)
	for {
		n, err := f.f.Read(buf)
		if err != nil {
			return
		}
		if p := buf[:n]; f.answers.Load() && reply(p) {
			if f.lies.Load() {
				p[n-1] ^= 1
				p[n-2] ^= 1
			}
			now := time.Now()
			f.answered.Store(&now)
			_, _ = f.f.Write(p)
		}
	}
}

// reply makes an echo reply of an echo in place: addresses swapped, the type
// changed, and the checksum with it (RFC 1624).
func reply(p []byte) bool {
	body, from, addr := 0, 0, 0
	var request, answer uint16
	switch {
	case len(p) > 28 && p[0] == 0x45 && p[9] == 1:
		body, from, addr, request, answer = 20, 12, 4, 0x0800, 0x0000
	case len(p) > 48 && p[0]>>4 == 6 && p[6] == 58:
		body, from, addr, request, answer = 40, 8, 16, 0x8000, 0x8100
	}
	if body == 0 || binary.BigEndian.Uint16(p[body:]) != request {
		return false
	}
	src := append([]byte(nil), p[from:from+addr]...)
	copy(p[from:], p[from+addr:from+2*addr])
	copy(p[from+addr:], src)
	binary.BigEndian.PutUint16(p[body:], answer)
	sum := uint32(^binary.BigEndian.Uint16(p[body+2:])) + uint32(^request) + uint32(answer)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(p[body+2:], ^uint16(sum))
	return true
}

// watch runs a link on tun0 in the namespace.
func watch(t *testing.T, ns *netns.NS, c Config) (*Link, chan tunnel.Event) {
	t.Helper()
	events := make(chan tunnel.Event, 64)
	c.Name, c.Interface, c.Keepalive, c.DeadAfter = "b", "tun0", keepalive, deadAfter
	c.Look = func(name string) (Sight, error) {
		s, err := link.Look(name)
		return Sight(s), err
	}
	c.Events = func(ev tunnel.Event) { events <- ev }
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ns.Do(func() error { return l.Run(ctx) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l, events
}

func next(t *testing.T, l *Link, events chan tunnel.Event, up bool, reason string) {
	t.Helper()
	select {
	case ev := <-events:
		if ev.Up != up || !strings.Contains(ev.Reason, reason) {
			t.Fatalf("event %+v, want up: %v, %q", ev, up, reason)
		}
	case <-time.After(patience):
		t.Fatalf("no event, want up: %v; %+v", up, l.Status())
	}
}

func TestFollowsInterface(t *testing.T) {
	for _, c := range []struct{ name, setUp, local, peer string }{
		{"ipv4", "addr add 10.8.0.1/24 dev tun0", "10.8.0.1", "10.8.0.2"},
		{"point-to-point", "addr add 10.8.0.1 peer 10.8.0.2 dev tun0", "10.8.0.1", "10.8.0.2"},
		{"ipv6", "addr add fd08::1/64 dev tun0", "fd08::1", "fd08::2"},
		{"link-local", "addr add fe80::1/64 dev tun0", "fe80::1", "fe80::2"},
	} {
		t.Run(c.name, func(t *testing.T) { follow(t, c.setUp, c.local, c.peer) })
	}
}

func follow(t *testing.T, setUp, local, peer string) {
	ns := netns.Test(t)
	l, events := watch(t, ns, Config{Ping: true, PeerAddress: netip.MustParseAddr(peer)})
	ready := func() *far {
		f := openTun(t)
		ip(t, "link set tun0 mtu 1380 addrgenmode none")
		ip(t, "link set tun0 up")
		ip(t, setUp)
		return f
	}
	f := ready()
	next(t, l, events, true, "")
	if st := l.Status(); st.State != tunnel.StateUp || st.MTU != 1380 || st.RTT <= 0 {
		t.Errorf("%+v", st)
	}
	for end := time.Now().Add(patience); l.Status().Stats.RxPackets == 0 || l.Status().Stats.TxBytes == 0; time.Sleep(keepalive) {
		if time.Now().After(end) {
			t.Fatalf("nothing is counted: %+v", l.Status())
		}
	}
	if got := l.LocalAddress().String(); got != local {
		t.Errorf("local address %s, want %s", got, local)
	}

	f.answers.Store(false)
	next(t, l, events, false, "no reply to pings from "+peer)
	if took := time.Since(*f.answered.Load()); took < deadAfter {
		t.Errorf("dead %v after the last answer", took)
	}
	f.answers.Store(true)
	next(t, l, events, true, "")

	ip(t, "link set tun0 down")
	six, why := strings.HasPrefix(setUp, "addr add f"), "interface tun0 is down"
	if six {
		why = "interface tun0 " // the kernel takes IPv6 addresses from it: who has seen it before, and looks for these afterwards, says that it has none
	}
	next(t, l, events, false, why)
	ip(t, "link set tun0 up")
	if six {
		ip(t, setUp)
	}
	next(t, l, events, true, "")

	_ = f.f.Close()
	next(t, l, events, false, "")
	_ = ready()
	next(t, l, events, true, "")
}

// A reply that does not carry the token counts for nothing.
func TestLiesDoNotCount(t *testing.T) {
	ns := netns.Test(t)
	l, events := watch(t, ns, Config{Ping: true, PeerAddress: netip.MustParseAddr("10.8.0.2")})
	f := openTun(t)
	f.lies.Store(true)
	ip(t, "link set tun0 up")
	ip(t, "addr add 10.8.0.1/24 dev tun0")
	for end := time.Now().Add(patience); !strings.Contains(l.Status().LastError, "no reply to pings"); time.Sleep(keepalive) {
		if time.Now().After(end) {
			t.Fatalf("%+v", l.Status())
		}
	}
	for end := time.Now().Add(patience); l.Status().Stats.RxPackets < 2; time.Sleep(keepalive) {
		if time.Now().After(end) {
			t.Fatalf("nothing is counted: %+v", l.Status())
		}
	}
	if st := l.Status(); st.State != tunnel.StateConnecting {
		t.Errorf("%+v", st)
	}
	f.lies.Store(false)
	next(t, l, events, true, "")
}

func TestEthernetAndCarrier(t *testing.T) {
	ns := netns.Test(t)
	l, events := watch(t, ns, Config{PeerAddress: netip.MustParseAddr("10.8.0.2")})
	says := func(what string) {
		t.Helper()
		for end := time.Now().Add(patience); !strings.Contains(l.Status().LastError, what); time.Sleep(keepalive) {
			if time.Now().After(end) {
				t.Fatalf("it does not say %q: %+v", what, l.Status())
			}
		}
	}
	says("does not exist")
	ip(t, "link add tun0 type veth peer name peer0")
	says("Ethernet segment")
	ip(t, "link del tun0")
	ip(t, "tuntap add mode tun name tun0") // a TUN that nobody works
	ip(t, "link set tun0 up")
	says("no carrier")
	ip(t, "link del tun0")
	_ = openTun(t)
	says("interface tun0 is down")
	ip(t, "link set tun0 up")
	says("no IPv4 address")
	ip(t, "addr add 10.8.0.1/24 dev tun0")
	next(t, l, events, true, "")
}
