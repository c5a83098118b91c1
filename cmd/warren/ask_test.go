package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warren/internal/history"
	"warren/internal/status"
	"warren/internal/status/statustest"
)

// site is a router with a configuration, and perhaps a daemon.
type site struct {
	dir, file, socket string
}

// newSite makes the configuration of a router, and of a peer site-x with a secret.
func newSite(t *testing.T, name string, asn int) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &site{dir: dir, file: filepath.Join(dir, "warren.toml"), socket: filepath.Join(dir, "s")}
	for file, text := range map[string]string{
		"warren.toml": fmt.Sprintf("name = %q\nasn = %d\nrouter_id = \"10.%d.0.1\"\n[announce]\nnetworks = [\"10.%d.0.0/16\"]\n"+
			"[tls]\nlisten = [\"127.0.0.1:443\"]\n[api]\nsocket = %q\n", name, asn, asn%100, asn%100, s.socket),
		"peers.d/site-x.toml": "[tunnel]\nsecret_file = \"x.secret\"\n[bgp]\nasn = 64599\nimport = [\"10.99.0.0/16\"]\n",
		"x.secret":            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) has(file string) bool {
	_, err := os.Lstat(filepath.Join(s.dir, file))
	return err == nil
}

// reloads runs a daemon at the site's socket that does that for a reload.
func (s *site) reloads(t *testing.T, do func(context.Context) (status.ReloadResult, error)) {
	t.Helper()
	server, err := status.New(status.Config{
		Socket: s.socket, History: history.New(nil),
		Source: func(context.Context) (status.Status, error) { return status.Status{}, nil },
		Reload: func(ctx context.Context, _ int64) (status.ReloadResult, error) { return do(ctx) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	<-server.Ready()
}

// runWith runs the command with an input, until it ends or ctx does.
func runWith(ctx context.Context, in io.Reader, args ...string) (code int, stdout, stderr string) {
	cmd := root()
	var out, errs bytes.Buffer
	cmd.SetIn(in)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	code = execute(ctx, cmd)
	return code, out.String(), errs.String()
}

// interruptible is an input that nothing comes from. It has ctx end when it is read.
type interruptible struct {
	io.Reader
	interrupt func()
}

func (r interruptible) Read(b []byte) (int, error) {
	r.interrupt()
	return r.Reader.Read(b)
}

// silence is an input that nothing comes from, whose first read is the moment of an interrupt.
func silence(t *testing.T) (context.Context, io.Reader) {
	t.Helper()
	in, to := io.Pipe()
	t.Cleanup(func() { _ = to.Close() })
	ctx, interrupt := context.WithCancel(t.Context())
	stuck := time.AfterFunc(time.Minute, func() { _ = to.CloseWithError(errors.New("the command waits on")) })
	t.Cleanup(func() { stuck.Stop() })
	return ctx, interruptible{in, interrupt}
}

// aLine is what another router prints for site-b.
func aLine(t *testing.T) string {
	t.Helper()
	a := newSite(t, "site-a", 64510)
	code, line, stderr := run(t, "invite", "site-b", "--asn", "64511", "--import", "10.11.0.0/16", "--remote", "192.0.2.1:443", "-c", a.file)
	if code != 0 || !strings.HasPrefix(line, "warren1") {
		t.Fatalf("invite: exit %d, %q, %q", code, line, stderr)
	}
	return strings.TrimSpace(line)
}

// A question that is interrupted ends the command, and nothing was done.
func TestInterruptedQuestions(t *testing.T) {
	line := aLine(t)
	for name, args := range map[string][]string{
		"remove":         {"remove", "site-x"},
		"join":           {"join", line},
		"join's line":    {"join", "-"},
		"import's files": {"import", "/dev/stdin", "-n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "site-b", 64511)
			ctx, in := silence(t)
			if name == "import's files" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(t.Context())
				cancel()
				args[1] = neverWritten(t)
			}
			code, _, stderr := runWith(ctx, in, append(args, "-c", s.file)...)
			if code != exitFailed || !strings.Contains(stderr, "interrupted: nothing was done") || strings.Contains(stderr, "waits on") {
				t.Errorf("exit %d, %q", code, stderr)
			}
			if !s.has("peers.d/site-x.toml") || !s.has("x.secret") || s.has("peers.d/site-a.toml") {
				t.Error("something was done")
			}
		})
	}
}

// neverWritten is the path of a pipe that nothing comes from.
func neverWritten(t *testing.T) string {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = to.Close() })
	t.Cleanup(func() { stuck.Stop(); _ = from.Close(); _ = to.Close() })
	return fmt.Sprintf("/dev/fd/%d", from.Fd())
}

// What was interrupted before it did anything does nothing afterwards, also where nobody is asked.
func TestInterruptedBefore(t *testing.T) {
	line := aLine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{
		{"remove", "site-x", "--yes"},
		{"join", line, "--yes"},
		{"invite", "site-c", "--import", "10.12.0.0/16", "--remote", "192.0.2.1:443"},
	} {
		s := newSite(t, "site-b", 64511)
		code, stdout, stderr := runWith(ctx, strings.NewReader("y\n"), append(args, "-c", s.file)...)
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, "interrupted: nothing was done") {
			t.Errorf("%v: exit %d, %q, %q", args[0], code, stdout, stderr)
		}
		if !s.has("peers.d/site-x.toml") || !s.has("x.secret") || s.has("peers.d/site-a.toml") || s.has("peers.d/site-c.toml") {
			t.Errorf("%v has done something", args[0])
		}
	}
}

// What a daemon has refused is undone. What it may have taken stays, and the line that belongs to it is printed.
func TestFilesThatADaemonMayHaveTaken(t *testing.T) {
	line := aLine(t)
	commands := map[string]struct {
		args  []string
		files []string
	}{
		"join":   {[]string{"join", line, "--yes"}, []string{"peers.d/site-a.toml", "site-a.invitation"}},
		"invite": {[]string{"invite", "site-c", "--import", "10.12.0.0/16", "--remote", "192.0.2.1:443"}, []string{"peers.d/site-c.toml", "site-c.invitation"}},
	}
	for name, test := range map[string]struct {
		daemon func(t *testing.T, s *site, interrupt func())
		stays  bool
		says   string
	}{
		"refused": {func(t *testing.T, s *site, _ func()) {
			s.reloads(t, func(context.Context) (status.ReloadResult, error) {
				return status.ReloadResult{Errors: []string{"no such thing"}}, nil
			})
		}, false, "the running daemon does not take it: no such thing"},
		"interrupted": {func(t *testing.T, s *site, interrupt func()) {
			s.reloads(t, func(ctx context.Context) (status.ReloadResult, error) {
				interrupt()
				<-ctx.Done() // the daemon's own end
				return status.ReloadResult{}, nil
			})
		}, true, "it is not known whether that was done: interrupted before warren answered"},
		"ended": {func(t *testing.T, s *site, _ func()) {
			statustest.Daemon(t, s.socket, func(c net.Conn) { _ = c.Close() })
		},
			true, "it is not known whether that was done: warren stopped before it answered"},
		"not reached": {func(t *testing.T, s *site, _ func()) { nowhere(t, s) },
			false, "the files that were made are removed again"},
	} {
		for command, c := range commands {
			t.Run(command+" "+name, func(t *testing.T) {
				s := newSite(t, "site-b", 64511)
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				test.daemon(t, s, interrupt)
				code, stdout, stderr := runWith(ctx, strings.NewReader(""), append(c.args, "-c", s.file)...)
				if code != exitFailed || !strings.Contains(stderr, test.says) || test.stays != strings.Contains(stderr, "they stay") {
					t.Errorf("exit %d, %q", code, stderr)
				}
				if want := test.stays && command == "invite"; strings.HasPrefix(stdout, "warren1") != want {
					t.Errorf("printed %q", stdout)
				}
				for _, file := range c.files {
					if s.has(file) != test.stays {
						t.Errorf("%s is there: %v", file, s.has(file))
					}
				}
			})
		}
	}
}

// nowhere has the site's socket be where none can be.
func nowhere(t *testing.T, s *site) {
	t.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(s.socket), []byte(s.file+"/socket"))
	if err := os.WriteFile(s.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
