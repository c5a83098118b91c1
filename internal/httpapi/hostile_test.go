package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"warren/internal/history"
)

// serveHurried serves with short times, and a history of megabytes.
func serveHurried(t *testing.T, l net.Listener) {
	t.Helper()
	d := &fakeDaemon{events: history.New(func(error) {})}
	for range 5000 {
		d.events.Add(history.Event{Kind: history.Stranger, Cause: strings.Repeat("x", 1000)})
	}
	s := New(Config{Source: d, Logger: slog.New(slog.DiscardHandler)})
	s.read, s.write = 300*time.Millisecond, 300*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// What a client does not send or does not read holds nothing for ever: the connection is closed.
func TestSlowClientsAreClosed(t *testing.T) {
	for what, sends := range map[string]string{
		"silent":            "",
		"half a line":       "GET /metr",
		"no end of headers": "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ",
		"half a body":       "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx",
	} {
		l := listen(t, "127.0.0.1:0")
		serveHurried(t, l)
		c := dial(t, l)
		if _, err := io.WriteString(c, sends); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: still open", what)
		}
	}
}

// A client that asks for much and reads nothing gets a part of it, and others get theirs meanwhile.
func TestClientsThatReadNothing(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	serveHurried(t, l)
	for range 3 * maxClients {
		c := dial(t, l)
		c.(*net.TCPConn).SetReadBuffer(4096)
		if _, err := io.WriteString(c, strings.Repeat("GET /history.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 20)); err != nil {
			break // it made room for another one
		}
	}
	// Their answers are given up, and with them the room that they take.
	for deadline := time.Now().Add(time.Minute); !isHealthy(t, l); {
		if time.Now().After(deadline) {
			t.Fatal("no room for another one")
		}
	}
}

func isHealthy(t *testing.T, l net.Listener) bool {
	c := dial(t, l)
	defer c.Close()
	_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	b, _ := io.ReadAll(c) // an error is that there was no room yet
	return strings.HasPrefix(string(b), "HTTP/1.1 200 ")
}
