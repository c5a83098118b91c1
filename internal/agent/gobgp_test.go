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
	for deadline := time.Now().Add(time.Minute); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

// An address that another program has is said once, in the log and in status, and tried until it
// is free.
func TestGobgpPortIsTaken(t *testing.T) {
	tcp, path := takenPort(t), filepath.Join(t.TempDir(), "g.sock")
	unix, err := socket.ListenUnix(t.Context(), path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for gobgp, taken := range map[string]net.Listener{tcp.Addr().String(): tcp, "unix:" + path: unix} {
		var log safeLog
		w := newWorld(t, router())
		w.log = slog.New(slog.NewTextHandler(&log, nil))
		serving, ended := make(chan struct{}), make(chan error, 1)
		g := &gobgpPort{
			api: config.API{Gobgp: gobgp}, again: make(chan struct{}, 1),
			backOff: func(int) time.Duration { return 10 * time.Millisecond },
			report:  func(err error) { w.inbox.put(tried{subject{kind: kindGobgpPort}, err}) },
			serve: func(ctx context.Context, l net.Listener) error {
				defer l.Close()
				close(serving)
				<-ctx.Done()
				return nil
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- g.Run(ctx) }()
		text := ""
		until(t, "some tries", func() bool {
			w.turn()
			all := w.status().Router.Conditions
			if len(all) == 1 {
				text = all[0].Text
			}
			return len(all) == 1 && all[0].Kind == "gobgp_port" && all[0].Tries > 5
		})
		for _, part := range []string{"the gobgp command cannot look at this router: ", "another program", gobgp, "set another address"} {
			if !strings.Contains(text, part) {
				t.Errorf("the condition %q lacks %q", text, part)
			}
		}
		taken.Close()
		<-serving
		until(t, "no condition", func() bool { w.turn(); return len(w.status().Router.Conditions) == 0 })
		if n := log.count("cannot listen for the gobgp command; trying again"); n != 1 {
			t.Errorf("%s: said %d times that it is taken", gobgp, n)
		}
		if n := log.count("the gobgp command can look again"); n != 1 {
			t.Errorf("%s: said %d times that it is over", gobgp, n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// A change of this host that makes success likely ends the pause.
func TestGobgpPortHurries(t *testing.T) {
	taken := takenPort(t)
	tries := make(chan error)
	g := &gobgpPort{
		api: config.API{Gobgp: taken.Addr().String()}, again: make(chan struct{}, 1),
		backOff: func(int) time.Duration { return time.Hour }, report: func(err error) { tries <- err },
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	<-tries
	g.hurry()
	<-tries
	cancel()
	<-ended
	var none *gobgpPort
	none.hurry() // one that is turned off
}
