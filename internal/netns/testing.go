package netns

import (
	"os"
	"testing"
)

// RequireRoot ends the test unless namespaces can be made here. Where the
// environment says CI=true that is a failure, because a test that cannot run
// proves nothing; elsewhere the test is skipped with what is missing.
func RequireRoot(t testing.TB) {
	t.Helper()
	n, err := NewAnonymous()
	if err == nil {
		_ = n.Close()
		return
	}
	const hint = "run as root or under `unshare -Urnm`"
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs the right to make network namespaces (%s): %v", hint, err)
	}
	t.Skipf("needs the right to make network namespaces (%s): %v", hint, err)
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
