//go:build privileged

package tun

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

func TestLeftoversAreReplaced(t *testing.T) {
	netns.Test(t)
	for _, mode := range [][]string{nil, {"multi_queue"}, {"vnet_hdr", "multi_queue"}} {
		for _, queues := range []int{1, 2} {
			ip(t, append([]string{"tuntap", "add", "dev", "tt0", "mode", "tun"}, mode...)...)
			d := open(t, Config{Name: "tt0", MTU: 1500, Queues: queues})
			if d.Offload() == 0 {
				t.Fatalf("left over with %v: the new one has no offload", mode)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			wantGone(t, "tt0")
		}
	}
}

// Interfaces are made and removed while processes are started, each of which has a copy of all descriptors for a moment.
func TestOpenWhileProcessesStart(t *testing.T) {
	netns.Test(t)
	stop := make(chan struct{})
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := exec.Command("/bin/true").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer starting.Wait()
	defer close(stop)
	for i := range 60 {
		d, err := Open(Config{Name: "tt0", MTU: 1500, Queues: 1 + 3*(i%2)})
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if d.Offload() == 0 {
			t.Errorf("round %d: no offload", i)
		}
		if err := d.Close(); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// Interfaces are made while something that does not take the fork lock has copies of this process's descriptors for a
// moment, as the process has that Go tries once.
func TestOpenWhileDescriptorsAreCopied(t *testing.T) {
	netns.Test(t)
	stop := make(chan struct{})
	var copying sync.WaitGroup
	copying.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				holdCopies(t)
			}
		}
	})
	defer copying.Wait()
	defer close(stop)
	for i := range 30 {
		queues := 1 + 3*(i%2)
		d, err := Open(Config{Name: "tt0", MTU: 1500, Queues: queues})
		if err != nil {
			t.Fatalf("round %d, %d queues: %v", i, queues, err)
		}
		if d.Offload() == 0 {
			t.Errorf("round %d, %d queues: no offload", i, queues)
		}
		if err := d.Close(); err != nil {
			t.Fatalf("round %d, %d queues: %v", i, queues, err)
		}
	}
}

// holdCopies copies each descriptor of /dev/net/tun, and has the copies for some system calls' time.
func holdCopies(t *testing.T) {
	t.Helper()
	var copies []int
	for fd := 3; fd < 64; fd++ {
		if file, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil || file != devicePath {
			continue
		}
		if c, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 1000); err == nil { // else it was closed meanwhile
			copies = append(copies, c)
		}
	}
	time.Sleep(5 * time.Millisecond)
	for _, c := range copies {
		unix.Close(c)
	}
}

// An interface whose Device is closed, and of which a process that is being started still has descriptors, is waited for.
func TestHeldInterfaceIsWaitedFor(t *testing.T) {
	netns.Test(t)
	for _, queues := range []int{1, 4} {
		d := open(t, Config{Name: "tt0", MTU: 1500, Queues: queues})
		theirs := copied(t, d)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := net.InterfaceByName("tt0"); err != nil {
			t.Fatalf("it does not outlive its Device: %v", err)
		}
		waited := sync.OnceFunc(func() {
			if err := theirs.Close(); err != nil {
				t.Error(err)
			}
		})
		log := slog.New(slog.NewTextHandler(writerFunc(waited), &slog.HandlerOptions{Level: slog.LevelDebug}))
		d = open(t, Config{Name: "tt0", MTU: 1500, Queues: queues, Logger: log})
		waited() // else it was opened although it was held
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		wantGone(t, "tt0")
	}
}

// writerFunc is called for each line that is written.
type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) { f(); return len(p), nil }

func TestForeignInterfacesAreRefused(t *testing.T) {
	netns.Test(t)
	held := open(t, Config{Name: "held", MTU: 1500, Queues: 2})
	ip(t, "link", "add", "dum", "type", "veth", "peer", "name", "dum2")
	ip(t, "tuntap", "add", "dev", "tap", "mode", "tap")
	before := len(descriptors(t))
	for name, want := range map[string]string{
		"dum": "is there already and is no TUN interface (veth/)", "tap": "is no TUN interface (tun/tap)", "held": "is in use by another process",
	} {
		for _, queues := range []int{1, 2} {
			d, err := Open(Config{Name: name, MTU: 1500, Queues: queues})
			if err == nil {
				d.Close()
				t.Fatalf("%s was taken", name)
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
			ip(t, "link", "show", name)
		}
	}
	if after := len(descriptors(t)); after != before {
		t.Fatalf("%d descriptors leaked", after-before)
	}
	if err := held.SetCarrier(true); err != nil {
		t.Fatal(err)
	}
}
