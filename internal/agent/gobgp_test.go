package agent

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/socket"
)

// A log that is written and read at the same time.
type safeLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *safeLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func until(t *testing.T, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

// An address that somebody else has is said once, in the log and in status, and tried until it
// is free.
func TestGobgpPortIsTaken(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "g.sock")
	unix, err := socket.ListenUnix(t.Context(), path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for gobgp, taken := range map[string]net.Listener{tcp.Addr().String(): tcp, "unix:" + path: unix} {
		var log safeLog
		serving, ended := make(chan struct{}), make(chan error, 1)
		g := &gobgpPort{
			api: config.API{Gobgp: gobgp}, retry: time.Millisecond, log: slog.New(slog.NewTextHandler(&log, nil)),
			serve: func(ctx context.Context, l net.Listener) error {
				defer l.Close()
				close(serving)
				<-ctx.Done()
				return nil
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- g.Run(ctx) }()
		until(t, "a hint", func() bool { return strings.Contains(g.hint(), "another program") })
		if h := g.hint(); !strings.Contains(h, gobgp) || !strings.Contains(h, "set another address") {
			t.Errorf("the hint is %q", h)
		}
		time.Sleep(20 * time.Millisecond) // time for more of the same
		taken.Close()
		<-serving
		until(t, "no hint", func() bool { return g.hint() == "" })
		if n := log.count("cannot listen for the gobgp command; trying again"); n != 1 {
			t.Errorf("%s: said %d times that it is taken", gobgp, n)
		}
		until(t, "said", func() bool { return log.count("the gobgp command can look again") == 1 })
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	var none *gobgpPort
	if none.hint() != "" {
		t.Error("a port that is turned off has a hint")
	}
}
