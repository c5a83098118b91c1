package topo

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEventually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		took, err := Eventually(t.Context(), time.Second, time.Minute, func() error {
			if calls++; calls < 4 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || took != 3*time.Second || calls != 4 {
			t.Errorf("took %v and %d calls, %v; want 3s, 4, no error", took, calls, err)
		}
	})
}

func TestEventuallyGivesTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := errors.New("still down")
		took, err := Eventually(t.Context(), time.Second, 2500*time.Millisecond, func() error { return last })
		if !errors.Is(err, last) || took != 2500*time.Millisecond {
			t.Errorf("took %v, %v", took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = Eventually(ctx, time.Second, time.Minute, func() error { return last })
		if !errors.Is(err, last) || !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %v", err)
		}
	})
}

// TestEventuallyLooksAtTheEnd: what takes long itself gets a second look, after the time.
func TestEventuallyLooksAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		_, err := Eventually(t.Context(), time.Millisecond, 2*time.Second, func() error {
			time.Sleep(3 * time.Second)
			if calls++; calls < 2 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || calls != 2 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

func TestThroughout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, start := 0, time.Now()
		count := func() error { calls++; return nil }
		if err := Throughout(t.Context(), time.Second, 2500*time.Millisecond, count); err != nil || calls != 4 || time.Since(start) != 2500*time.Millisecond {
			t.Errorf("%d calls in %v, %v; want 4 in 2.5s", calls, time.Since(start), err)
		}
		broken, start := errors.New("it broke"), time.Now()
		err := Throughout(t.Context(), time.Second, time.Minute, func() error {
			if time.Since(start) >= 3*time.Second {
				return broken
			}
			return nil
		})
		if !errors.Is(err, broken) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Throughout(ctx, time.Second, time.Minute, count); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %v", err)
		}
	})
}

func TestKeygenOutputIsUnderstood(t *testing.T) {
	fingerprint := "SHA256:" + strings.Repeat("9F:", 31) + "86"
	key := strings.Repeat("ab+/", 10) + "abc="
	out := "TLS fingerprint:      " + fingerprint + "\nWireGuard public key: " + key + "\n"
	if got := fingerprintPattern.FindString(out); got != fingerprint {
		t.Errorf("fingerprint %q", got)
	}
	if m := publicKeyPattern.FindStringSubmatch(out); m == nil || m[1] != key {
		t.Errorf("public key %q", m)
	}
}

func TestPrefixIsChecked(t *testing.T) {
	for _, prefix := range []string{"", "a-b", "../x", "A"} {
		if _, err := New(t.Context(), prefix); err == nil {
			t.Errorf("prefix %q is accepted", prefix)
		}
	}
}

func TestAlive(t *testing.T) {
	if !alive(os.Getpid()) {
		t.Error("this process does not live")
	}
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It ends, and keeps its number until it is waited for.
	if _, err := Eventually(t.Context(), time.Millisecond, 30*time.Second, func() error {
		if alive(cmd.Process.Pid) {
			return errors.New("an ended process that nobody waited for lives")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if alive(cmd.Process.Pid) {
		t.Error("an ended process lives")
	}
}
