package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Systemd hears of the daemon for as long as its loop takes turns, and no longer.
func TestWatchdogIsTheLoops(t *testing.T) {
	const within = 30 * time.Millisecond
	dir, err := os.MkdirTemp("", "wd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := filepath.Join(dir, "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", fmt.Sprint(within.Microseconds()))
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	heard := func(wait time.Duration) string {
		buf := make([]byte, 100)
		_ = systemd.SetReadDeadline(time.Now().Add(wait))
		n, err := systemd.Read(buf)
		if err != nil {
			return ""
		}
		return string(buf[:n])
	}
	raw, err := systemd.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	forget := func() { // all that was said by now, without a deadline that may pass before the first of it is read
		_ = raw.Control(func(fd uintptr) {
			for err := error(nil); !errors.Is(err, unix.EAGAIN); {
				_, _, err = unix.Recvfrom(int(fd), make([]byte, 100), unix.MSG_DONTWAIT)
			}
		})
	}

	w := newWorld(t, router())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx, func() {}) }()
	defer func() {
		stop()
		systemd.Close() // a loop that tells it something waits until there is room for that
		<-ended
	}()
	for range 3 {
		if got := heard(time.Minute); got != notifyAlive {
			t.Fatalf("systemd is told %q", got)
		}
	}
	err = w.ask(t.Context(), func(context.Context) { // the loop hangs here
		forget()
		if got := heard(5 * within); got != "" {
			t.Errorf("a loop that hangs tells systemd %q", got)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := heard(time.Minute); got != notifyAlive {
		t.Errorf("a loop that goes on tells systemd %q", got)
	}
}
