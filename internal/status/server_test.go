package status

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 30 * time.Second

// socketPath is short enough for a unix socket whatever the test's name is.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "st")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "run", "warren.sock")
}

func start(t *testing.T, c Config) (stop func()) {
	t.Helper()
	return startWith(t, c, readTimeout)
}

// startWith runs a Server that gives clients that much time for their questions.
func startWith(t *testing.T, c Config, read time.Duration) (stop func()) {
	t.Helper()
	if c.Source == nil {
		c.Source = func(context.Context) (Status, error) { return example(), nil }
	}
	if c.Reload == nil {
		c.Reload = func(context.Context, int64) (ReloadResult, error) { return ReloadResult{}, nil }
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.read = read
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

// A daemon of a version that lacks a question says so, in words that help.
func TestDaemonCannotBeAsked(t *testing.T) {
	path := socketPath(t)
	start(t, Config{Socket: path})
	if _, err := Undo(t.Context(), path); err == nil || !strings.Contains(err.Error(), "of a version that cannot be asked this: `warren restart`") {
		t.Errorf("error %v", err)
	}
}

func TestUndoOverTheSocket(t *testing.T) {
	path := socketPath(t)
	start(t, Config{Socket: path, Undo: func(_ context.Context, uid int64) (ReloadResult, error) {
		if uid != int64(os.Geteuid()) {
			return ReloadResult{Errors: []string{"another user"}}, nil
		}
		return ReloadResult{Changes: []string{"taken back"}}, nil
	}})
	if r, err := Undo(t.Context(), path); err != nil || len(r.Errors) > 0 || len(r.Changes) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLogLevelOverTheSocket(t *testing.T) {
	path := socketPath(t)
	var got []string
	start(t, Config{Socket: path, SetLogLevel: func(name string) error {
		got = append(got, name)
		if name == "lo&ud=" {
			return errors.New("no such level")
		}
		return nil
	}})
	if err := SetLogLevel(t.Context(), path, "debug"); err != nil {
		t.Error(err)
	}
	if err := SetLogLevel(t.Context(), path, "lo&ud="); err == nil || err.Error() != "the daemon says: no such level" {
		t.Error(err)
	}
	if len(got) != 2 || got[0] != "debug" || got[1] != "lo&ud=" {
		t.Errorf("the daemon heard %q", got)
	}
}

func TestStatusOverTheSocket(t *testing.T) {
	path := socketPath(t)
	stop := start(t, Config{Socket: path})
	s, err := Get(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Peers) != 3 || s.Peers[0].Tunnel.Remote != "198.51.100.2:443" || !s.Time.Equal(noon) {
		t.Errorf("got %+v", s)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != socketMode {
		t.Errorf("the socket's mode is %v", info.Mode())
	}
	stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	start(t, Config{Socket: path}) // and again, beside the lock that stayed
}

func TestReload(t *testing.T) {
	path := socketPath(t)
	want := ReloadResult{Changes: []string{"peer b: added"}, Errors: []string{}}
	start(t, Config{Socket: path, Reload: func(context.Context, int64) (ReloadResult, error) { return want, nil }})
	got, err := Reload(t.Context(), path)
	if err != nil || len(got.Changes) != 1 || got.Changes[0] != want.Changes[0] || len(got.Errors) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A reload goes on when the one who asked for it has gone.
func TestReloadOutlivesItsClient(t *testing.T) {
	path := socketPath(t)
	began, left := make(chan struct{}), make(chan struct{})
	outcome := make(chan error, 1)
	start(t, Config{Socket: path, Reload: func(ctx context.Context, _ int64) (ReloadResult, error) {
		close(began)
		<-left
		outcome <- ctx.Err()
		return ReloadResult{}, nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() { _, err := Reload(ctx, path); asked <- err }()
	<-began
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	close(left)
	if err := <-outcome; err != nil {
		t.Errorf("the reload was ended: %v", err)
	}
}

func TestErrorsOfTheDaemon(t *testing.T) {
	path := socketPath(t)
	start(t, Config{Socket: path,
		Source: func(context.Context) (Status, error) { return Status{}, errors.New("the agent is stopping") }})
	if _, err := Get(t.Context(), path); err == nil || !strings.Contains(err.Error(), "the agent is stopping") {
		t.Errorf("got %v", err)
	}
	var s Status
	if err := ask(t.Context(), path, "GET", "/reload", &s); err == nil {
		t.Error("a reload by GET")
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as kill -9 would have it
	_ = l.Close()
	if _, err := Get(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("a dead daemon's socket: %v", err)
	}
	start(t, Config{Socket: path})
	if _, err := Get(t.Context(), path); err != nil {
		t.Error(err)
	}
}

func TestLivingSocketIsRefused(t *testing.T) {
	for _, lock := range []string{"with its lock", "without"} {
		t.Run(lock, func(t *testing.T) {
			path := socketPath(t)
			start(t, Config{Socket: path})
			if lock == "without" {
				if err := os.Remove(path + ".lock"); err != nil {
					t.Fatal(err)
				}
			}
			second, err := New(Config{
				Socket: path,
				Source: func(context.Context) (Status, error) { return Status{}, nil },
				Reload: func(context.Context, int64) (ReloadResult, error) { return ReloadResult{}, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := second.Run(t.Context()); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "another warren is running") {
				t.Errorf("got %v", err)
			}
			if _, err := Get(t.Context(), path); err != nil {
				t.Errorf("the first was disturbed: %v", err)
			}
		})
	}
}

// Clients that send nothing, or half a question, or that read no answer, keep nobody from
// being answered.
func TestBadClients(t *testing.T) {
	path := socketPath(t)
	var peers []Peer
	for range 600 {
		peers = append(peers, Peer{Name: "a-peer-with-a-name"})
	}
	start(t, Config{Socket: path, Source: func(context.Context) (Status, error) { return Status{Peers: peers}, nil }})
	for i := range 3 * maxClients {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, text := range []string{"", "GET /status HTTP/1.1\r\nHost:", "GET /status HTTP/1.1\r\nHost: x\r\n\r\n"}[i%3:][:1] {
			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		begun := time.Now()
		s, err := Get(t.Context(), path)
		t.Logf("answered after %v", time.Since(begun))
		if err != nil || len(s.Peers) != len(peers) {
			t.Fatalf("%d peers, %v", len(s.Peers), err)
		}
	}
}

// The answers to clients that do not read end by themselves.
func TestUnreadAnswersEnd(t *testing.T) {
	path := socketPath(t)
	peers := make([]Peer, 600)
	var asked atomic.Int32
	before := runtime.NumGoroutine()
	start(t, Config{Socket: path, Source: func(context.Context) (Status, error) {
		asked.Add(1)
		return Status{Peers: peers}, nil
	}})
	const clients = maxClients / 2
	for range clients {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("GET /status HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(patience); asked.Load() < clients || runtime.NumGoroutine() > before+10; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d asked, %d goroutines; %d before", asked.Load(), clients, runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestNoSocketIsNotRemoved(t *testing.T) {
	path := socketPath(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{config: Config{Socket: path}, ready: make(chan struct{})}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is gone: %q, %v", b, err)
	}
}

func TestClientErrorsSayWhatToDo(t *testing.T) {
	if _, err := Get(t.Context(), socketPath(t)); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("no socket: %v", err)
	}
	denied := explain("/run/x", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", os.ErrPermission)})
	if !strings.Contains(denied.Error(), "run this as root") {
		t.Errorf("no permission: %v", denied)
	}
	path := socketPath(t)
	start(t, Config{Socket: path, Source: func(ctx context.Context) (Status, error) {
		<-ctx.Done() // of the request, which the client gives up
		return Status{}, ctx.Err()
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Get(ctx, path); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a silent daemon: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no socket was accepted")
	}
	if _, err := New(Config{Socket: "x"}); err == nil {
		t.Error("no source was accepted")
	}
}
