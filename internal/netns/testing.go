package netns

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/skip"
)

// RequireRoot ends the test unless namespaces can be made here, as
// skip.OutsideCI does.
func RequireRoot(t testing.TB) {
	t.Helper()
	n, err := NewAnonymous()
	if err == nil {
		_ = n.Close()
		return
	}
	skip.OutsideCI(t, "this test needs the right to make network namespaces (run as root or under `unshare -Urnm`): %v", err)
}

// Test moves the calling test into a fresh network namespace until it ends.
// It calls RequireRoot first.
//
// Only the test's own goroutine moves: a subtest or a goroutine that shall open
// sockets or name interfaces goes through Run or Do of the result.
func Test(t testing.TB) *NS {
	t.Helper()
	RequireRoot(t)
	n, err := NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	leave, err := n.enter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leave(); err != nil {
			t.Error(err) // the thread stays locked and ends with the test
		}
		_ = n.Close()
	})
	return n
}

// Run runs f as the subtest name of t, inside the namespace.
func (n *NS) Run(t *testing.T, name string, f func(t *testing.T)) bool {
	t.Helper()
	return t.Run(name, func(t *testing.T) {
		leave, err := n.enter()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := leave(); err != nil {
				t.Error(err)
			}
		})
		f(t)
	})
}

// InOwn is for tests whose goroutines, on any thread, are to be in one namespace. It runs the calling test again in a process
// that is in a fresh namespace as a whole, and reports whether this is that process; where it is not, the test has been
// run, failed if that did, and is to return. It calls RequireRoot first.
func InOwn(t *testing.T) bool {
	t.Helper()
	const mark = "WARREN_TEST_NETNS"
	if os.Getenv(mark) != "" {
		return true
	}
	RequireRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v=true")
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
