//go:build privileged

package agent

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/link"
	"warren/internal/netns"
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

// openFar makes a TUN device, at whose far end this process answers the echoes of IPv4 and nothing else.
func openFar(t *testing.T, name string) {
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
			if n < 28 || p[0] != 0x45 || p[9] != unix.IPPROTO_ICMP || p[20] != 8 {
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

// A tunnel whose peer has no IPv6 comes up, and again after its interface was set down, by which the kernel takes its
// IPv6 address away.
func TestKernelTunnelComesBack(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	openFar(t, "wg0")
	f := &fakeWireGuards{}
	calls := f.calls()
	calls.add = func(name, _ string, _ bool) (int, error) {
		s, err := link.Look(name)
		return s.Index, err
	}
	device, ports := &kernelwgtest.Device{}, &fakePorts{}
	device.Listen(40000)
	calls.control = func() (kernelwg.Control, error) { return device, nil }
	i := &interfaces{log: slog.New(slog.DiscardHandler), path: "/w.toml", wireguards: calls, guard: ports}
	events := make(chan tunnel.Event, 16)
	h, err := i.Open("b", kernelConfig("wg0"), reporter{
		event:  func(ev tunnel.Event) { events <- ev },
		failed: func(err error) { t.Errorf("failed: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		h.Close("test")
		ports.want(t, "closed", "udp 40000", "udp 40001", "not udp 40000", "not udp 40001")
	}()
	next := func(up bool) {
		t.Helper()
		select {
		case ev := <-events:
			if ev.Up != up {
				t.Fatalf("%+v", ev)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no event; %+v\n%s", h.Status(), ip(t, "addr show dev wg0"))
		}
	}
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
