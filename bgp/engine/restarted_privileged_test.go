//go:build privileged

package engine

import (
	"bytes"
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestBirdKeeps kills a speaker and starts another one in its place: BIRD keeps what is
// announced again in its kernel's table, and takes out the rest at End-of-RIB.
func TestBirdKeeps(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if _, err := exec.LookPath("bird"); err != nil {
		t.Fatal("bird is not installed: apt install bird2, or make deps")
	}
	s, far := tunnelSpeaker(t)
	again, err := New(Config{ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), Logger: testLogger(t, "again"), Restarted: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- again.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	const local, peer = "fd00:179::1", "fd00:179::2"
	originate(t, s, "10.1.0.0/16", "10.3.0.0/16", "2001:db8:1::/48", "2001:db8:3::/48")
	far.startBird(local, peer, "extended next hop on;")
	add(t, s, "b", local, peer)
	routes := func() string {
		return far.output("ip -4 route show proto bird") + far.output("ip -6 route show proto bird")
	}
	wait := func(has bool, prefixes ...string) {
		t.Helper()
		eventually(t, 40*time.Second, func() string {
			out := routes()
			for _, p := range prefixes {
				if strings.Contains(out, p) != has {
					return "routes: " + out
				}
			}
			return ""
		})
	}
	wait(true, "10.1.0.0/16", "10.3.0.0/16", "2001:db8:1::/48", "2001:db8:3::/48")
	var seen log
	monitor := exec.CommandContext(t.Context(), "ip", "monitor", "route")
	monitor.Stdout = &seen
	if err := far.Do(monitor.Start); err != nil {
		t.Fatal(err)
	}
	eventually(t, 40*time.Second, func() string {
		far.run("ip route replace unreachable 203.0.113.0/24")
		far.run("ip route del unreachable 203.0.113.0/24")
		if !strings.Contains(seen.String(), "203.0.113.0") {
			return "the monitor says nothing"
		}
		return ""
	})

	crash(s)
	originate(t, again, "10.1.0.0/16", "2001:db8:1::/48")
	add(t, again, "b", local, peer)
	wait(false, "10.3.0.0/16", "2001:db8:3::/48")
	wait(true, "10.1.0.0/16", "2001:db8:1::/48")
	eventually(t, 40*time.Second, func() string {
		for _, p := range []string{"Deleted 10.3.0.0/16", "Deleted 2001:db8:3::/48"} {
			if !strings.Contains(seen.String(), p) {
				return "the monitor has not seen: " + p
			}
		}
		return ""
	})
	for _, p := range []string{"Deleted 10.1.0.0/16", "Deleted 2001:db8:1::/48"} {
		if strings.Contains(seen.String(), p) {
			t.Errorf("BIRD's end: %s", p)
		}
	}
}

// A log is what a command writes.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
