package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/socket"
	"warren/internal/status"
	"warren/tunnel"
)

// freePort returns an address that nobody listens at, and that nobody takes before the test does: it is of this process alone,
// and its port is none of those that the kernel gives to who asks for any.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		lastPort++
		l, err := net.Listen("tcp4", fmt.Sprint("0.0.0.0:", lastPort))
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		pid := os.Getpid()
		return fmt.Sprintf("127.%d.%d.%d:%d", 1+pid>>16&0x7f, pid>>8&0xff, pid&0xff, lastPort)
	}
}

var lastPort = uint16(20000 + os.Getpid()%10000) // ip_local_port_range begins with 32768

// takenPort returns an address that another program listens at.
func takenPort(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// sayHTTP serves connections that say what their port is, until ctx is done.
func sayHTTP(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err != nil {
			return nil
		}
		// One that came in the moment of the end is answered too: who sent it waits for that.
		_, _ = io.WriteString(c, "http")
		c.Close()
	}
}

// answers reports whether HTTP is answered at an address of [api].
func answers(address string) bool {
	network := "tcp"
	if path, isUnix := config.SocketPath(address); isUnix {
		network, address = "unix", path
	}
	c, err := net.DialTimeout(network, address, 10*time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // what else listens there may say nothing
	if c.LocalAddr().String() == c.RemoteAddr().String() {
		return false // nobody listens, and the kernel has chosen that port for this end too
	}
	b, _ := io.ReadAll(c)
	return string(b) == "http"
}

// withHTTP has a world whose HTTP is answered, at an address at first.
func withHTTP(t *testing.T, address string) (w *world, reload func(string) error) {
	t.Helper()
	cfg := router()
	cfg.API.HTTP = address
	w = newWorldWith(t, cfg, func(w *world) {
		w.http = newHTTPPort(address, sayHTTP, func(err error) { w.inbox.put(tried{subject{kind: kindHTTPPort}, err}) })
		w.http.backOff = func(int) time.Duration { return 10 * time.Millisecond }
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.http.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w, func(next string) error {
		another := router()
		another.API.HTTP = next
		w.load = func() (*config.Config, error) { return another, nil }
		lines, err := w.reload()
		if err == nil && next != "" && !strings.Contains(strings.Join(lines, "\n"), "http: answered at "+next) {
			t.Errorf("the reload says %q", lines)
		}
		return err
	}
}

// An address that another program has is said once, in the log and in status, and tried until it
// is free.
func TestHTTPPortIsTaken(t *testing.T) {
	tcp, path := takenPort(t), filepath.Join(t.TempDir(), "h.sock")
	unix, err := socket.ListenUnix(t.Context(), path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for address, taken := range map[string]net.Listener{tcp.Addr().String(): tcp, "unix:" + path: unix} {
		w, _ := withHTTP(t, address)
		var log safeLog
		w.log = slog.New(slog.NewTextHandler(&log, nil))
		until(t, "some tries", func() bool {
			w.turn()
			all := w.status().Router.Conditions
			return len(all) == 1 && all[0].Kind == "http_port" && all[0].Tries > 5
		})
		text := w.status().Router.Conditions[0].Text
		for _, part := range []string{"nothing is answered over HTTP: ", "another program", address, "set another address"} {
			if !strings.Contains(text, part) {
				t.Errorf("the condition %q lacks %q", text, part)
			}
		}
		taken.Close()
		until(t, "an answer", func() bool { return answers(address) })
		until(t, "no condition", func() bool { w.turn(); return len(w.status().Router.Conditions) == 0 })
		if n := log.count("cannot listen for HTTP; trying again"); n > 1 {
			t.Errorf("%s: said %d times that it is taken", address, n)
		}
	}
}

// A reload changes where HTTP is answered: on, elsewhere, to a socket, off.
func TestReloadMovesHTTP(t *testing.T) {
	one, two, path := freePort(t), freePort(t), filepath.Join(t.TempDir(), "h.sock")
	_, port, _ := net.SplitHostPort(two)
	w, reload := withHTTP(t, "")
	before := ""
	for _, next := range []string{one, two, "0.0.0.0:" + port, two, "unix:" + path, one, ""} {
		if err := reload(next); err != nil {
			t.Fatalf("%q: %v", next, err)
		}
		if next != "" {
			until(t, "an answer at "+next, func() bool { return answers(next) })
		}
		if before != "" && !strings.HasSuffix(before, ":"+port) {
			until(t, "none at "+before, func() bool { return !answers(before) })
		}
		before = next
	}
	if info, err := os.Lstat(path); err == nil {
		t.Errorf("the socket is still there: %v", info.Mode())
	}
	w.turn()
	if all := w.status().Router.Conditions; len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// A reload with an address that cannot be had changes nothing.
func TestReloadWithBadHTTPChangesNothing(t *testing.T) {
	taken := takenPort(t)
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	good := freePort(t)
	_, goodPort, _ := net.SplitHostPort(good)
	w, reload := withHTTP(t, good)
	until(t, "an answer", func() bool { return answers(good) })
	for bad, says := range map[string]string{
		taken.Addr().String():             "another program",
		"0.0.0.0:" + port:                 "another program",
		"192.0.2.77:" + goodPort:          "no address of this router",
		"unix:" + dir + "/h.sock":         "directory",
		"unix:/proc/1/nowhere/of/it.sock": "directory",
	} {
		err := reload(bad)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v; want %q", bad, err, says)
		}
		if w.cfg.API.HTTP != good {
			t.Errorf("%s: %s is in use", bad, w.cfg.API.HTTP)
		}
		until(t, "an answer still", func() bool { return answers(good) })
	}
	w.turn()
	if all := w.status().Router.Conditions; len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// What fails of a reload after HTTP has moved moves it back.
func TestReloadMovesHTTPBack(t *testing.T) {
	one, two := freePort(t), freePort(t)
	w, _ := withHTTP(t, one)
	until(t, "an answer", func() bool { return answers(one) })
	next := router()
	next.API.HTTP, next.WireGuard.PrivateKey = two, config.Secret(make([]byte, 32))
	w.load = func() (*config.Config, error) { return next, nil }
	w.keyErr = errors.New("a bad key")
	if _, err := w.reload(); err == nil {
		t.Fatal("no error")
	}
	until(t, "an answer at the old address", func() bool { return answers(one) && !answers(two) })
}

// What metrics are made of: prefixes by family, and of WireGuard tunnels the peer's key and the last handshake.
func TestStatusForMetrics(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.tunnels.says = map[string]tunnel.Status{
		"b": {Transport: "wireguard", Peer: tunnel.Identity{1, 2, 3}, Handshake: at},
		"c": {Transport: "tls", Peer: tunnel.Identity{4}},
	}
	w.speaker.families = [2]bgp.Counts{{Received: 1, Accepted: 2, Refused: 3, Announced: 4}, {Received: 5, Accepted: 6, Refused: 7, Announced: 8}}
	w.up(t, "b")
	w.up(t, "c")
	b, _ := w.status().Peer("b")
	c, _ := w.status().Peer("c")
	want := status.Families{IPv4: status.Prefixes{Received: 1, Accepted: 2, Refused: 3, Announced: 4}, IPv6: status.Prefixes{Received: 5, Accepted: 6, Refused: 7, Announced: 8}}
	if b.BGP.Families != want {
		t.Errorf("%+v", b.BGP.Families)
	}
	if b.Tunnel.PublicKey != "AQID"+strings.Repeat("A", 39)+"=" || b.Tunnel.LastHandshake == nil || !b.Tunnel.LastHandshake.Equal(at) {
		t.Errorf("%+v", b.Tunnel)
	}
	if c.Tunnel.PublicKey != "" || c.Tunnel.LastHandshake != nil {
		t.Errorf("%+v", c.Tunnel)
	}
}
