package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
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
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", fmt.Sprint(within.Microseconds()))
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	to, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	// All is read at once, as the loop waits where there is no room for what it says.
	var alive atomic.Int64
	const marker = "this test"
	marked, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		for buf := make([]byte, 100); ; {
			n, err := systemd.Read(buf)
			if err != nil {
				return
			}
			switch said := string(buf[:n]); said {
			case notifyAlive:
				alive.Add(1)
			case marker:
				marked <- struct{}{}
			default:
				t.Errorf("systemd is told %q", said)
			}
		}
	}()
	defer func() {
		systemd.Close()
		<-read
	}()
	heard := func() int64 { // how often, by now
		if _, err := to.Write([]byte(marker)); err != nil {
			t.Error(err)
			return 0
		}
		<-marked
		return alive.Load()
	}

	w := newWorld(t, router())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx, func() {}) }()
	defer func() { stop(); <-ended }()
	until(t, "systemd hears of the loop", func() bool { return alive.Load() >= 3 })
	before := int64(0)
	err = w.ask(t.Context(), func(context.Context) { // the loop hangs here
		before = heard()
		time.Sleep(5 * within)
		if n := heard() - before; n != 0 {
			t.Errorf("a loop that hangs tells systemd %d times that it is alive", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "systemd hears of a loop that goes on", func() bool { return alive.Load() > before })
}
