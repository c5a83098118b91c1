package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/history"
	"warren/internal/skip"
	"warren/internal/status"
)

// watched is a daemon whose status can be changed, and that can be away.
type watched struct {
	file, socket string
	stop         func()

	mu sync.Mutex
	is status.Status
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	dir, err := os.MkdirTemp("", "w") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &watched{file: filepath.Join(dir, "warren.toml"), socket: filepath.Join(dir, "s")}
	if err := os.WriteFile(d.file, fmt.Appendf(nil, "[api]\nsocket = %q\n", d.socket), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// says has the daemon's status be that of a peer.
func (d *watched) says(name, state string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.is = status.Status{Time: status.At(time.Now()), Peers: []status.Peer{{Name: name, Tunnel: status.Tunnel{State: state}, BGP: status.BGP{State: "idle"}}}}
}

func (d *watched) start(t *testing.T) {
	t.Helper()
	server, err := status.New(status.Config{
		Socket: d.socket, History: history.New(nil),
		Source: func(context.Context) (status.Status, error) { d.mu.Lock(); defer d.mu.Unlock(); return d.is, nil },
		Reload: func(context.Context, int64) (status.ReloadResult, error) { return status.ReloadResult{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Run(ctx) }()
	<-server.Ready()
	d.stop = func() { cancel(); <-done }
}

// terminal opens a pseudo-terminal of that many cells. What is written to it can be read from far.
func terminal(t *testing.T, rows, cols uint16) (far, near *os.File) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		skip.OutsideCI(t, "no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { far.Close() })
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(far.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if near, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	if err := unix.IoctlSetWinsize(int(far.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		t.Fatal(err)
	}
	return far, near
}

// output collects what is written, and is waited for.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) all() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// until waits until what was written after mark has all of these, and returns how much there is.
func (o *output) until(t *testing.T, mark int, want ...string) int {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		all := o.all()
		missing := ""
		for _, w := range want {
			if !strings.Contains(all[mark:], w) {
				missing = w
			}
		}
		if missing == "" {
			return len(all)
		}
		if time.Now().After(end) {
			t.Fatalf("%q is not in %q", missing, all[mark:])
		}
	}
}

// On a terminal the screen is drawn again, also when the daemon is away for a while; where it is interrupted
// the screen before is back.
func TestWatchOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	d := newWatched(t)
	d.says("site-with-a-name-of-more-than-30-letters", "up")
	d.start(t)
	far, near := terminal(t, 12, 72)
	var out output
	go func() { // until far is closed
		b := make([]byte, 4096)
		for {
			n, err := far.Read(b)
			_, _ = out.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		cmd := root()
		cmd.SetOut(near)
		cmd.SetErr(&out)
		cmd.SetArgs([]string{"status", "--watch", "-c", d.file})
		code <- execute(ctx, cmd)
	}()
	mark := out.until(t, 0, "\x1b[?1049h\x1b[?25l", "\x1b[H", "ctrl-C ends", "\x1b[32mup\x1b[0m", "…")
	d.says("site-b", "waiting")
	mark = out.until(t, mark, "site-b", "\x1b[31mwaiting\x1b[0m")
	d.stop()
	mark = out.until(t, mark, "warren is not running", "as it was at", "waiting")
	d.says("site-c", "up")
	d.start(t)
	mark = out.until(t, mark, "site-c")
	interrupt()
	if got := <-code; got != 0 {
		t.Errorf("exit %d", got)
	}
	out.until(t, mark, "\x1b[?25h\x1b[?1049l")

	// No more lines than there is room for; no colours where nobody wants them.
	t.Setenv("NO_COLOR", "1")
	w := watch{out: near, text: status.View.Table}
	s := status.Status{}
	for i := range 50 {
		s.Peers = append(s.Peers, status.Peer{Name: fmt.Sprint("p", i), Tunnel: status.Tunnel{State: "up"}})
	}
	mark = len(out.all())
	if err := w.draw(s, nil); err != nil {
		t.Fatal(err)
	}
	end := out.until(t, mark, "more lines\x1b[K\x1b[J")
	frame := out.all()[mark:end]
	if n := strings.Count(frame, "\n"); n != 11 || strings.Contains(frame, "\x1b[3") {
		t.Errorf("%d lines: %q", n+1, frame)
	}
}

// Where the output is no terminal, it is written when something has changed, with the time.
func TestWatchInAPipe(t *testing.T) {
	d := newWatched(t)
	if code, _, stderr := run(t, "status", "--watch", "-c", d.file); code != exitFailed || !strings.Contains(stderr, "warren is not running") {
		t.Errorf("without a daemon: exit %d, %q", code, stderr)
	}
	d.says("site-b", "up")
	d.start(t)
	var out output
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		cmd := root()
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs([]string{"status", "site-b", "--watch", "-c", d.file})
		code <- execute(ctx, cmd)
	}()
	mark := out.until(t, 0, "--- 2", "tunnel ", "up")
	d.says("site-b", "waiting")
	mark = out.until(t, mark, "--- 2", "waiting")
	d.stop()
	mark = out.until(t, mark, "--- 2", "warren ", "at "+d.socket) // is not running, or has stopped before it answered
	d.start(t)
	mark = out.until(t, mark, "--- 2", "waiting")
	d.says("site-x", "up")
	if got := <-code; got != exitUsage {
		t.Errorf("exit %d when the peer is gone", got)
	}
	out.until(t, mark, `there is no peer "site-b"`)
	interrupt()
	if all := out.all(); strings.Contains(all, "\x1b") || strings.Count(all, "--- 2") != 4 {
		t.Errorf("%s", all)
	}
}
