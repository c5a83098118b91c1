package main

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"warren/internal/status"
	"warren/internal/status/statustest"
)

// full is an output on a disk without room: all writes fail that come after so many bytes.
type full struct {
	room int
	text bytes.Buffer
}

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.room-f.text.Len())
	f.text.Write(b[:n])
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func runInto(t *testing.T, out *full, args ...string) (code int, stderr string) {
	t.Helper()
	cmd := root()
	var errs bytes.Buffer
	cmd.SetOut(out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	return execute(t.Context(), cmd), errs.String()
}

// A command whose output cannot be written has not succeeded, and says so.
func TestOutputThatCannotBeWritten(t *testing.T) {
	s := newSite(t, "site-b", 64511)
	const lost = "no space left on device"
	for _, c := range []struct {
		args, says string
		room       int
	}{
		{"invite site-c --import 10.12.0.0/16 --remote 192.0.2.1:443 -c " + s.file, "the line could not be written and is lost: `warren remove site-c`, and invite again: " + lost, 0},
		{"invite site-d --import 10.13.0.0/16 --remote 192.0.2.1:443 -c " + s.file, "`warren remove site-d`, and invite again: " + lost, 40},
		{"keygen --wg-config -d " + filepath.Join(s.dir, "k"), "the configuration could not be written, and its key is lost; have another one made: " + lost, 10},
		{"keygen -d " + filepath.Join(s.dir, "k"), "not all of the output could be written: " + lost, 100},
		{"keygen --secret " + filepath.Join(s.dir, "n.secret"), lost, 0},
		{"check -c " + s.file, lost, 0},
		{"version", lost, 0},
		{"version --json", lost, 0},
		{"--help", lost, 100},
		{"help status", lost, 100},
		{"remove site-x --yes -c " + s.file, lost, 0},
	} {
		out := &full{room: c.room}
		if code, stderr := runInto(t, out, strings.Fields(c.args)...); code != exitFailed || !strings.Contains(stderr, "warren: ") || !strings.Contains(stderr, c.says) {
			t.Errorf("warren %s: exit %d, %q after %q", c.args, code, stderr, out.text.String())
		}
	}
}

// Of what asks a daemon too: a plugin's end would be taken for another level.
func TestStatusThatCannotBeWritten(t *testing.T) {
	d := newWatched(t)
	d.says("site-b", "up")
	up := status.PeerTunnel{Tunnel: status.Tunnel{State: "up"}, BGP: status.BGP{State: "established"}}
	d.is = status.Status{Peers: []status.Peer{{Name: "site-b", Tunnels: []status.PeerTunnel{up}}}}
	d.start(t)
	for args, want := range map[string]int{"status": exitFailed, "status --json": exitFailed, "status site-b": exitFailed, "status --check": exitFailed, "status --plugin": int(status.LevelUnknown), "reload": exitFailed} {
		if code, stderr := runInto(t, &full{}, append(strings.Fields(args), "-c", d.file)...); code != want || !strings.Contains(stderr, "no space left on device") {
			t.Errorf("warren %s: exit %d, %q", args, code, stderr)
		}
		if code, stderr := runInto(t, &full{room: 1 << 20}, append(strings.Fields(args), "-c", d.file)...); code != 0 {
			t.Errorf("with room, warren %s: exit %d, %q", args, code, stderr)
		}
	}
}

// The status for scripts comes though the daemon does not answer.
func TestCheckHasAnEnd(t *testing.T) {
	long := pluginTimeout
	t.Cleanup(func() { pluginTimeout = long })
	pluginTimeout = time.Second
	s := newSite(t, "site-b", 64511)
	statustest.Daemon(t, s.socket, func(net.Conn) {})
	for flag, want := range map[string]int{"--check": exitNobody, "--plugin": int(status.LevelCritical)} {
		ctx, cancel := context.WithCancel(t.Context())
		stuck := time.AfterFunc(20*time.Second, cancel) // before the client gives up by itself
		code, stdout, stderr := runWith(ctx, strings.NewReader(""), "status", flag, "-c", s.file)
		stuck.Stop()
		cancel()
		if code != want || !strings.Contains(stdout+stderr, "warren does not answer at "+s.socket) {
			t.Errorf("%s: exit %d, %q, %q", flag, code, stdout, stderr)
		}
	}
}
