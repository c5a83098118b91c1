//go:build privileged

package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// here names the namespace of the calling thread.
func here(t testing.TB) string {
	t.Helper()
	s, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNamed(t *testing.T) {
	RequireRoot(t)
	name := fmt.Sprintf("netns-test-%d", os.Getpid())
	n, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })

	if _, err := New(name); err == nil || !strings.Contains(err.Error(), "ip netns del "+name) {
		t.Errorf("making it twice: %v; want an error that says how to remove it", err)
	}
	again, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	inside := ""
	if err := again.Do(func() error { inside, err = os.Readlink("/proc/thread-self/ns/net"); return err }); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	out, err := exec.Command("ip", "netns", "exec", name, "readlink", "/proc/self/ns/net").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != inside {
		t.Errorf("ip netns exec is in %q (%v), Do in %q", out, err, inside)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(Dir, name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v; want the name gone", err)
	}
	if err := Delete(name); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
}

func TestDo(t *testing.T) {
	RequireRoot(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n, err := NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()

	before := here(t)
	err = n.Do(func() error {
		if here(t) == before {
			t.Error("Do did not switch")
		}
		ifs, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, i := range ifs { // beside lo, where such tunnels have been used, tunl0, sit0 and others, which are down
			if is := i.Flags&net.FlagUp != 0; is != (i.Name == "lo") {
				t.Errorf("interfaces %v; want lo up, and no other", ifs)
			}
		}
		if len(ifs) == 0 {
			t.Error("no interfaces")
		}
		return errors.ErrUnsupported
	})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Do = %v; want the function's error", err)
	}
	if err := n.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("Do of a function that ends its goroutine reports success")
	}
	if after := here(t); after != before {
		t.Errorf("the caller is in %s after Do; want %s", after, before)
	}
}

// TestTest also shows that no thread keeps a namespace it was lent: every
// thread of the process is in the namespace afterwards that the test was in before.
func TestTest(t *testing.T) {
	RequireRoot(t)
	want := []string{here(t)}
	t.Run("inside", func(t *testing.T) {
		outside := here(t)
		n := Test(t)
		inside := here(t)
		if inside == outside {
			t.Error("Test did not switch")
		}
		n.Run(t, "subtest", func(t *testing.T) {
			if got := here(t); got != inside {
				t.Errorf("the subtest is in %s; want %s", got, inside)
			}
		})
	})
	// A thread that is just being made shows its maker's namespace.
	deadline := time.Now().Add(30 * time.Second)
	for after := threads(t); !slices.Equal(after, want); after = threads(t) {
		if time.Now().After(deadline) {
			t.Fatalf("threads are in %v after the test; want %v", after, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// threads returns the distinct namespaces of the process's threads.
func threads(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range links {
		if s, err := os.Readlink(l); err == nil { // else the thread has ended
			all = append(all, s)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
