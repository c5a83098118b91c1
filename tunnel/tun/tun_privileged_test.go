//go:build privileged

package tun

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func open(t *testing.T, c Config) *Device {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// descriptors returns the TUN descriptors of this process.
func descriptors(t *testing.T) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && to == devicePath {
			fd, _ := strconv.Atoi(e.Name())
			fds = append(fds, fd)
		}
	}
	return fds
}

func wantGone(t *testing.T, name string) {
	t.Helper()
	if _, err := net.InterfaceByName(name); err == nil {
		t.Fatalf("%s is still there", name)
	}
}

func TestOpenAndClose(t *testing.T) {
	netns.Test(t)
	for _, queues := range []int{1, 4} {
		d := open(t, Config{Name: "tt0", MTU: 9000, Queues: queues})
		ifi, err := net.InterfaceByName("tt0")
		if err != nil {
			t.Fatal(err)
		}
		if ifi.MTU != 9000 || d.MTU() != 9000 || ifi.Index != d.Index() || d.Name() != "tt0" || d.Queues() != queues {
			t.Fatalf("interface %+v, device %+v", ifi, d)
		}
		if d.Offload()&tsoOffload != tsoOffload {
			t.Fatalf("offload %v", d.Offload())
		}
		fds := descriptors(t)
		if len(fds) == 0 {
			t.Fatal("no descriptors")
		}
		for _, fd := range fds {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Fatalf("descriptor %d would survive exec: %v", fd, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		wantGone(t, "tt0")
		if fds := descriptors(t); len(fds) != 0 {
			t.Fatalf("descriptors %v leaked", fds)
		}
	}
}

func TestOpenRefusesBadConfig(t *testing.T) {
	for _, c := range []Config{
		{Name: "", MTU: 1500, Queues: 1}, {Name: "sixteen-bytes-xx", MTU: 1500, Queues: 1}, {Name: "tun%d", MTU: 1500, Queues: 1},
		{Name: "a/b", MTU: 1500, Queues: 1}, {Name: "a", MTU: 1279, Queues: 1}, {Name: "a", MTU: MaxMTU + 1, Queues: 1}, {Name: "a", MTU: 1500},
	} {
		if d, err := Open(c); err == nil {
			d.Close()
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestWriteToDownInterfaceIsADrop(t *testing.T) {
	netns.Test(t)
	d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 1})
	f := frame(0, none, 0, 0, 0, ipv4(17, udp(10)...))
	if err := d.Write(f); !errors.Is(err, ErrDropped) {
		t.Fatalf("%v, want ErrDropped", err)
	}
	d.Close()
	if err := d.Write(f); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("after Close: %v, want os.ErrClosed", err)
	}
}
