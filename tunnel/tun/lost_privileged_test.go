//go:build privileged

package tun

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

// An interface that got another name, or went to another namespace, is known to be lost,
// also where another one has taken its name. Closing the device removes it wherever it is,
// and its name is free for the next.
func TestInterfaceThatIsTakenAwayIsNoticed(t *testing.T) {
	for name, tc := range map[string]struct {
		take func(t *testing.T, elsewhere string)
		says string
	}{
		"renamed": {func(t *testing.T, _ string) {
			ip(t, "link", "set", "tt0", "down")
			ip(t, "link", "set", "tt0", "name", "other")
		}, "the name other"},
		"renamed and persistent": {func(t *testing.T, _ string) {
			ip(t, "link", "set", "tt0", "name", "other")
			fd, err := attach("other", attackFlags[0]|unix.IFF_VNET_HDR)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
				t.Fatal(err)
			}
		}, "the name other"},
		"renamed and replaced": {func(t *testing.T, _ string) {
			ip(t, "link", "set", "tt0", "name", "other")
			ip(t, "tuntap", "add", "dev", "tt0", "mode", "tun")
		}, "the name other"},
		"moved": {func(t *testing.T, elsewhere string) {
			ip(t, "link", "set", "tt0", "netns", elsewhere)
		}, "another network namespace"},
		"moved and replaced": {func(t *testing.T, elsewhere string) {
			ip(t, "link", "set", "tt0", "netns", elsewhere)
			ip(t, "tuntap", "add", "dev", "tt0", "mode", "tun")
		}, "another interface"},
	} {
		t.Run(name, func(t *testing.T) {
			netns.Test(t)
			elsewhere, inside := namespace(t)
			d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
			if err := d.Check(); err != nil {
				t.Fatalf("before: %v", err)
			}
			tc.take(t, elsewhere)
			_, err := d.Mend()
			if !errors.Is(err, ErrLost) || !errors.Is(d.Check(), ErrLost) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("mending it: %v, want one that says %q", err, tc.says)
			}
			if err := d.SetMTU(1400); !errors.Is(err, ErrLost) {
				t.Errorf("setting its MTU: %v", err)
			}
			if strings.HasSuffix(name, "replaced") {
				if s := ip(t, "link", "show", "tt0"); strings.Contains(s, "mtu 1400") {
					t.Errorf("another interface has got its MTU: %s", s)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			wantGone(t, "other")
			if links := inside("ip", "-o", "link"); strings.Contains(links, "tt0") {
				t.Errorf("left in the other namespace: %s", links)
			}
			if strings.HasSuffix(name, "replaced") {
				ip(t, "link", "del", "tt0")
			}
			open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
		})
	}
}

// namespace makes a network namespace that lasts as long as the test. It returns a name
// for it that `ip link set netns` takes, and what runs a command in it.
func namespace(t *testing.T) (name string, run func(argv ...string) string) {
	t.Helper()
	holder := exec.Command("unshare", "--net", "sh", "-c", "echo; exec cat")
	input, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		_ = holder.Wait()
	})
	if _, err := output.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	pid := fmt.Sprint(holder.Process.Pid)
	return pid, func(argv ...string) string {
		out, err := exec.Command("nsenter", append([]string{"--net=/proc/" + pid + "/ns/net"}, argv...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
		return string(out)
	}
}

// An interface that somebody deleted is gone, not lost.
func TestInterfaceThatIsDeletedIsGone(t *testing.T) {
	netns.Test(t)
	d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
	ip(t, "link", "del", "tt0")
	if _, err := d.Mend(); !errors.Is(err, unix.ENODEV) || errors.Is(err, ErrLost) {
		t.Errorf("mending it: %v", err)
	}
}
