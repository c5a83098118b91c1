package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"warren/internal/status"
)

// daemonAt runs what answers at a socket as a daemon does that reads a config, until stop is called or the test ends.
func daemonAt(t *testing.T, socket, reads string) (stop func()) {
	t.Helper()
	server, err := status.New(status.Config{
		Socket:  socket,
		Source:  func(context.Context) (status.Status, error) { return status.Status{}, nil },
		Reload:  func(context.Context, int64) (status.ReloadResult, error) { return status.ReloadResult{}, nil },
		Foresee: func(context.Context) (status.Foretold, error) { return status.Foretold{Path: reads}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	select {
	case <-server.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// A daemon is found at the default socket as long as it is there, whatever the file that it reads says by now.
func TestDaemonIsFoundWhereItListens(t *testing.T) {
	dir, err := os.MkdirTemp("", "so") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }
	file, usual, changed := at("warren.toml"), at("usual"), at("changed")
	edit := func(socket string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[api]\nsocket = "+socket+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := func(what, want, said string, fails bool) {
		t.Helper()
		var words strings.Builder
		got, err := socketOr(t.Context(), &words, file, usual)
		if got != want || (err != nil) != fails || said == "" && words.Len() > 0 || !strings.Contains(words.String(), said) {
			t.Errorf("%s: %q, %v, said %q", what, got, err, words.String())
		}
	}
	edit(fmt.Sprintf("%q", changed))
	found("no daemon at all", changed, "", false)
	edit("5")
	found("no daemon, and no socket either", "", "", true)

	stop := daemonAt(t, usual, at("other.toml"))
	edit(fmt.Sprintf("%q", changed))
	found("a daemon of another config", changed, "", false)
	edit("5")
	found("a daemon of another config, and no socket", "", "", true)
	stop()

	stopUsual := daemonAt(t, usual, file)
	edit(fmt.Sprintf("%q", usual))
	found("where the file says", usual, "", false)
	edit(fmt.Sprintf("%q", changed))
	found("the key was changed", usual, "api.socket of "+file+" was changed to "+changed+" since warren was started: `systemctl restart warren`", false)
	edit("5")
	found("the key is wrong", usual, "api.socket: is not a string, in quotes", false)
	if err := os.Symlink(file, at("link.toml")); err != nil {
		t.Fatal(err)
	}
	if !readsConfig(t.Context(), usual, at("link.toml")) {
		t.Error("by another name of the file it is not found")
	}

	stop = daemonAt(t, changed, file)
	edit(fmt.Sprintf("%q", changed))
	found("one listens where the file says", changed, "", false)
	stopUsual()

	// From one path of one's own to another, and to the default.
	own := at("own")
	edit(fmt.Sprintf("%q", own))
	found("the key was changed from a path of one's own", changed, "api.socket of "+file+" was changed to "+own+" since warren was started", false)
	edit(fmt.Sprintf("%q", usual))
	found("the key was left out", changed, "since warren was started", false)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	found("others could have made that socket", usual, "", false)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	stop()
	daemonAt(t, changed, at("other.toml"))
	found("a daemon of another config elsewhere", usual, "", false)
}

// Only what listens for streams at a path counts.
func TestListening(t *testing.T) {
	const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000077f1d0ca: 00000003 00000000 00000000 0001 03 792280 /run/connected.sock
000000006338de13: 00000002 00000000 00010000 0001 01 805894 /run/warren/warren.sock
00000000a6405bc1: 00000002 00000000 00010000 0005 01 792373 /run/udev/control
000000006338de14: 00000002 00000000 00010000 0001 01 805895 @/abstract
000000006338de15: 00000002 00000000 00010000 0001 01 805896 relative
000000006338de16: 00000002 00000000 00010000 0001 01 805897
000000006338de17: 00000002 00000000 00010000 0001 01 805898 /opt/a.sock
000000006338de18: 00000002 00000000 00010000 0001 01 805898 /opt/a.sock
`
	if got := listening(table); fmt.Sprint(got) != "[/opt/a.sock /run/warren/warren.sock]" {
		t.Errorf("%q", got)
	}
}

// What a reload waits to be confirmed by goes on being possible while a file is edited that is no TOML at this moment.
func TestConfirmWhileTheFileIsEdited(t *testing.T) {
	dir, err := os.MkdirTemp("", "so")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, socket := filepath.Join(dir, "warren.toml"), filepath.Join(dir, "s")
	daemonAt(t, socket, file)
	if err := os.WriteFile(file, []byte(fmt.Sprintf("asn = 64512\n[announce]\nnetworks = [\"10.1.0.0/24\"\n[api]\nsocket = %q\n", socket)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := run(t, "status", "--check", "-c", file); code != 0 || !strings.Contains(stdout, "all is well") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr := run(t, "reload", "--dry-run", "-c", file); code != 0 {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}
