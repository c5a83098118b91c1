//go:build privileged

package tun

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"warren/internal/netns"
)

// The queues are as long also in a rootless container, where root is one of a user namespace only.
func TestQueueLengthInAUserNamespace(t *testing.T) {
	const inside = "WARREN_IN_USER_NAMESPACE"
	if os.Getenv(inside) == "" {
		netns.RequireRoot(t)
		self := exec.Command("/proc/self/exe", "-test.run=^TestQueueLengthInAUserNamespace$", "-test.v")
		self.Env = append(os.Environ(), inside+"=1")
		self.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := self.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	for _, queues := range []int{1, 2} {
		d := open(t, Config{Name: "tt0", MTU: 1500, Queues: queues})
		if out := ip(t, "-o", "link", "show", "tt0"); !strings.Contains(out, " qdisc noqueue ") || !strings.Contains(out, " qlen 1024") {
			t.Errorf("%d queues: %s", queues, out)
		}
		d.Close()
	}
}
