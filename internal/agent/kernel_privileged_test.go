//go:build privileged

package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
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
	"warren/internal/underlay"
	"warren/internal/underlay/paths"
	"warren/tunnel"
	"warren/tunnel/kernelwg"
	"warren/tunnel/kernelwg/kernelwgtest"
)

func ip(t *testing.T, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// openFar makes a TUN device, at whose far end this process answers the echoes of IPv4 that are no longer than passes, and nothing
// else.
func openFar(t *testing.T, name string, passes *atomic.Int64) {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), name) // after TUNSETIFF: only then can it be polled
	t.Cleanup(func() { f.Close() })
	go func() {
		for buf := make([]byte, 1<<16); ; {
			n, err := f.Read(buf)
			if errors.Is(err, unix.EIO) || errors.Is(err, unix.EBADFD) { // it is down
				time.Sleep(10 * time.Millisecond)
				continue
			}
			if err != nil {
				return
			}
			p := buf[:n]
			if n < 28 || n > int(passes.Load()) || p[0] != 0x45 || p[9] != unix.IPPROTO_ICMP || p[20] != 8 {
				continue
			}
			p[20] = 0 // a reply, whose checksum differs by that (RFC 1624)
			sum := uint32(binary.BigEndian.Uint16(p[22:])) + 0x0800
			binary.BigEndian.PutUint16(p[22:], uint16(sum&0xffff+sum>>16))
			var from [4]byte
			copy(from[:], p[12:16])
			copy(p[12:], p[16:20])
			copy(p[16:], from[:])
			_, _ = f.Write(p)
		}
	}()
}

func passing(size int64) *atomic.Int64 {
	p := new(atomic.Int64)
	p.Store(size)
	return p
}

// openFakeKernel opens a tunnel of the kernel's, over an interface that openFar makes, whose ways are followed by w.
func openFakeKernel(t *testing.T, w *paths.Watcher, passes *atomic.Int64) (tunnelHandle, *kernelwgtest.Device, *fakePorts, <-chan tunnel.Event) {
	t.Helper()
	openFar(t, "wg0", passes)
	f := &fakeWireGuards{}
	calls := f.calls()
	calls.add = func(name, _ string, _ bool) (int, error) {
		s, err := link.Look(name)
		return s.Index, err
	}
	device, ports := &kernelwgtest.Device{}, &fakePorts{}
	device.Listen(40000)
	calls.control = func() (kernelwg.Control, error) { return device, nil }
	i := &interfaces{log: slog.New(slog.DiscardHandler), path: "/w.toml", wireguards: calls, guard: ports, paths: w}
	events := make(chan tunnel.Event, 16)
	h, err := i.Open("b", kernelConfig("wg0"), reporter{
		event:  func(ev tunnel.Event) { events <- ev },
		failed: func(err error) { t.Errorf("failed: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, device, ports, events
}

// nextEvent returns what waits for an event, which it returns.
func nextEvent(t *testing.T, h tunnelHandle, events <-chan tunnel.Event) func(up bool) tunnel.Event {
	return func(up bool) tunnel.Event {
		t.Helper()
		select {
		case ev := <-events:
			if ev.Up != up {
				t.Fatalf("%+v", ev)
			}
			return ev
		case <-time.After(time.Minute):
			t.Fatalf("no event; %+v\n%s", h.Status(), ip(t, "addr show dev wg0"))
			return tunnel.Event{}
		}
	}
}

// A tunnel whose peer has no IPv6 comes up, and again after its interface was set down, by which the kernel takes its
// IPv6 address away.
func TestKernelTunnelComesBack(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	h, device, ports, events := openFakeKernel(t, nil, passing(1<<16))
	next := nextEvent(t, h, events)
	defer func() {
		h.Close("test")
		ports.want(t, "closed", "udp 40000", "udp 40001", "not udp 40000", "not udp 40001")
	}()
	next(true)
	local, _, beside := h.Ends(tunnel.Event{Local: h.Status().Local, Peer: h.Status().Peer})
	addresses := func() {
		t.Helper()
		all := ip(t, "addr show dev wg0")
		if !strings.Contains(all, local.String()+"/127") || !strings.Contains(all, beside.local.String()+"/31 scope host") {
			t.Errorf("lacks %v or %v:\n%s", local, beside.local, all)
		}
	}
	addresses()
	ports.want(t, "up", "udp 40000")
	device.Listen(40001) // something else has changed it
	ip(t, "link set wg0 down")
	next(false)
	if changed, err := h.Mend(); err != nil || len(changed) != 1 {
		t.Fatalf("%q, %v", changed, err)
	}
	next(true)
	addresses()
	ports.eventually(t, "another port", "not udp 40000", "udp 40000", "udp 40001")

	// Where IPv6 is off the other half is enough.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/wg0/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	ip(t, "link set wg0 down")
	next(false)
	if _, err := h.Mend(); err != nil {
		t.Fatal(err)
	}
	next(true)
}

// Where packets of more than a size vanish the interface's MTU becomes that size, and where they pass again what it was.
func TestKernelTunnelFindsItsMTU(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	passes := passing(1337)
	h, _, _, events := openFakeKernel(t, nil, passes)
	defer h.Close("test")
	nextEvent(t, h, events)(true)
	eventually := func(what string, is func(tunnel.Status) bool) {
		t.Helper()
		for end := time.Now().Add(3 * time.Minute); !is(h.Status()); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %+v\n%s", what, h.Status(), ip(t, "link show dev wg0"))
			}
		}
	}
	eventually("clamped", func(s tunnel.Status) bool { return s.MTU == 1337 && strings.Contains(s.Hint, "1337 bytes") })
	passes.Store(1 << 16)
	ip(t, "link set wg0 down")
	nextEvent(t, h, events)(false)
	if _, err := h.Mend(); err != nil {
		t.Fatal(err)
	}
	nextEvent(t, h, events)(true)
	eventually("not clamped any more", func(s tunnel.Status) bool { return s.MTU == 1420 && s.Hint == "" })
}

// A line that goes down is known at once.
func TestKernelTunnelLosesItsWay(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	w := paths.New(underlay.Mark, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	setUpLine := func() {
		ip(t, "link set wan0 up")
		ip(t, "addr replace 198.51.100.2/24 dev wan0")
		for !strings.Contains(ip(t, "link show dev wan0"), "LOWER_UP") {
			time.Sleep(10 * time.Millisecond) // the watcher is not told of it
		}
		w.Heard(0, nil)
	}
	ip(t, "link add wan0 type veth peer name wan1")
	ip(t, "link set wan1 up")
	setUpLine()
	h, device, _, events := openFakeKernel(t, w, passing(1<<16))
	defer h.Close("test")
	device.Peer([32]byte{9}, netip.MustParseAddrPort("198.51.100.6:51820"))
	next := nextEvent(t, h, events)
	next(true)
	for remote := ""; remote != "198.51.100.6:51820"; remote = h.Status().Remote.String() {
		time.Sleep(10 * time.Millisecond) // until the kernel was asked where the peer is
	}
	// The watcher has looked at its way when it tells of one that was not there from the beginning.
	seen := make(chan struct{})
	stop := w.Socket(unix.IPPROTO_UDP, "").Follow(netip.MustParseAddrPort("198.51.100.2:1"), netip.MustParseAddrPort("203.0.113.1:1"), func(bool, string) { close(seen) })
	<-seen
	stop()
	for _, c := range []struct{ lose, why string }{
		{"link set wan0 down", "interface wan0 is down"},
		{"addr flush dev wan0", "no route to 198.51.100.6"},
	} {
		ip(t, c.lose)
		w.Heard(0, nil)
		if ev := next(false); !strings.Contains(ev.Reason, c.why) {
			t.Errorf("%s: %q", c.lose, ev.Reason)
		}
		if s := h.Status(); !strings.Contains(s.LastError, c.why) {
			t.Errorf("%s: %q", c.lose, s.LastError)
		}
		setUpLine()
		next(true)
	}
}
