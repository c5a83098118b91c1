package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warren/internal/history"
	"warren/internal/socket"
	"warren/internal/status"
)

// fakeDaemon is a Source.
type fakeDaemon struct {
	mu     sync.Mutex
	is     status.Status
	err    error
	asked  atomic.Int64
	events *history.Log
}

func (d *fakeDaemon) Status(context.Context) (status.Status, error) {
	d.asked.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.is, d.err
}

func (d *fakeDaemon) set(s status.Status, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.is, d.err = s, err
}

func (d *fakeDaemon) Events(q history.Query) ([]history.Event, uint64, <-chan struct{}) {
	return d.events.Select(q)
}

func (d *fakeDaemon) Why(context.Context, status.WhyQuestion) (status.Why, error) {
	return status.Why{}, status.ErrNoPeer
}

func peerNamed(name, tunnel, bgp string) status.Peer {
	t := status.Tunnel{Transport: "tls", Interface: name, State: tunnel, LastError: "no answer"}
	b := status.BGP{State: bgp, LastError: "no route"}
	return status.Peer{Name: name, Tunnel: t, BGP: b, Tunnels: []status.PeerTunnel{{Tunnel: t, BGP: b}}}
}

// serve starts a Server on l, and returns the daemon behind it.
func serve(t *testing.T, l net.Listener, page func(Source) Page) *fakeDaemon {
	t.Helper()
	d := &fakeDaemon{events: history.New(func(error) {})}
	d.is.Peers = []status.Peer{peerNamed("site-b", "up", "established")}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- New(Config{Source: d, Version: "v1", Page: page, Logger: slog.New(slog.DiscardHandler)}).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type answer struct {
	code   int
	body   string
	header http.Header
}

// ask asks on a connection of its own; host "": the address itself.
func ask(t *testing.T, l net.Listener, method, path, host string) answer {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, l.Addr().Network(), l.Addr().String())
		},
	}}
	at := l.Addr().String()
	if l.Addr().Network() == "unix" {
		at = "warren"
	}
	r, err := http.NewRequest(method, "http://"+at+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(body), resp.Header}
}

func TestPaths(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	d := serve(t, l, nil)
	for i, cause := range []string{"first", "second <&>"} {
		d.events.Add(history.Event{Time: history.At(time.Now().Add(time.Duration(i-1) * time.Hour)), Kind: history.TunnelDown, Peer: "site-b", Cause: cause})
	}
	d.events.Add(history.Event{Kind: history.Restart, Cause: "third"})
	for _, tt := range []struct {
		path string
		code int
		kind string
		has  string
	}{
		{"/", 200, "text/plain", "/metrics"},
		{"/healthz", 200, "text/plain", "ok\n"},
		{"/status.json", 200, "application/json", `"name": "site-b"`},
		{"/history.json", 200, "application/json", "second <&>"},
		{"/history.json?peer=nobody", 404, "text/plain", `there is no peer "nobody"`},
		{"/history.json?since=yesterday", 400, "text/plain", "8h, 90m or 2d"},
		{"/nothing", 404, "text/plain", ""},
		{"/status.json/", 404, "text/plain", ""},
	} {
		a := ask(t, l, http.MethodGet, tt.path, "")
		if a.code != tt.code || !strings.HasPrefix(a.header.Get("Content-Type"), tt.kind) || !strings.Contains(a.body, tt.has) {
			t.Errorf("%s: %+v; want %d, %s with %q", tt.path, a, tt.code, tt.kind, tt.has)
		}
		if a := ask(t, l, http.MethodHead, tt.path, ""); a.code != tt.code || a.body != "" {
			t.Errorf("HEAD %s: %+v", tt.path, a)
		}
	}
	for query, want := range map[string]string{
		"": "first, second <&>, third", "?peer=site-b": "first, second <&>", "?since=30m": "second <&>, third", "?since=2d&peer=site-b": "first, second <&>",
	} {
		var events []history.Event
		body := ask(t, l, http.MethodGet, "/history.json"+query, "").body
		if err := json.Unmarshal([]byte(body), &events); err != nil {
			t.Fatal(err, body)
		}
		var causes []string
		for _, e := range events {
			causes = append(causes, e.Cause)
		}
		if got := strings.Join(causes, ", "); got != want {
			t.Errorf("%s: %s; want %s", query, got, want)
		}
	}
}

func TestEmptyHistoryIsAnArray(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	serve(t, l, nil)
	var events []history.Event
	body := ask(t, l, http.MethodGet, "/history.json?peer=site-b", "").body
	if err := json.Unmarshal([]byte(body), &events); err != nil || events == nil || len(events) != 0 {
		t.Errorf("%q: %v, %v", body, events, err)
	}
}

func TestHealth(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	d := serve(t, l, nil)
	two := peerNamed("two-ways", "connecting", "idle")
	two.Tunnels = append(two.Tunnels, peerNamed("", "up", "established").Tunnels...)
	neither := peerNamed("neither", "connecting", "idle")
	neither.Tunnels = append(neither.Tunnels, peerNamed("", "up", "active").Tunnels...)
	lan := peerNamed("lan", "up", "established")
	lan.Tunnels = nil
	drained, down := peerNamed("drained", "up", "active"), peerNamed("down", "down", "idle")
	drained.Drained, down.Down = &status.Drain{}, &status.TakenDown{}
	for _, tt := range []struct {
		peers []status.Peer
		err   error
		code  int
		body  string
	}{
		{nil, nil, 200, "ok\n"},
		{[]status.Peer{two, lan}, nil, 200, "ok\n"},
		{[]status.Peer{drained, down}, nil, 200, "ok\n"},
		{[]status.Peer{two, peerNamed("a", "connecting", "idle"), lan, peerNamed("b", "up", "active"), neither}, nil, 503,
			"a: tunnel: connecting: no answer\nb: bgp: active: no route\nneither: bgp: active: no route\n"},
		{nil, errors.New("not begun"), 503, "warren is starting, or does not answer: not begun\n"},
	} {
		d.set(status.Status{Peers: tt.peers}, tt.err)
		var a answer
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if a = ask(t, l, http.MethodGet, "/healthz", ""); a.code == tt.code && a.body == tt.body {
				break // an answer may be as old as freshFor
			}
		}
		if a.code != tt.code || a.body != tt.body {
			t.Errorf("%+v; want %d %q", a, tt.code, tt.body)
		}
	}
}

// Only who names this listener gets an answer, and nothing but looking is possible.
func TestGuard(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		l := listen(t, address)
		d := serve(t, l, nil)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for host, code := range map[string]int{
			"127.0.0.1:" + port: 200, "localhost:" + port: 200, "LocalHost": 200, "localhost.:1": 200,
			"evil.example": 403, "evil.example:" + port: 403, "127.0.0.1": 403, "127.0.0.1:1": 403, "127.0.0.2:" + port: 403,
			"127.0.0.1.evil.example:" + port: 403, "localhost.evil.example:" + port: 403, "[::1]:" + port: 403, "192.0.2.1:" + port: 403,
			"[::ffff:127.0.0.1]:" + port: 403, "127.1:" + port: 403, "2130706433:" + port: 403, "warren": 403,
		} {
			if a := ask(t, l, http.MethodGet, "/status.json", host); a.code != code {
				t.Errorf("Host %s at %v: %d; want %d", host, l.Addr(), a.code, code)
			}
		}
		before := d.asked.Load()
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"} {
			for _, path := range []string{"/", "/metrics", "/status.json", "/history.json", "/healthz", "/reload"} {
				if a := ask(t, l, method, path, ""); a.code != 405 || a.header.Get("Allow") != "GET, HEAD" {
					t.Errorf("%s %s: %+v", method, path, a)
				}
			}
		}
		if d.asked.Load() != before {
			t.Error("the daemon was asked")
		}
		a := ask(t, l, http.MethodGet, "/status.json", "")
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("%s: %s", name, a.header.Get(name))
			}
		}
		for name, want := range map[string]string{"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store"} {
			if a.header.Get(name) != want {
				t.Errorf("%s: %q; want %q", name, a.header.Get(name), want)
			}
		}
	}
}

// HTTP/1.0 may have no Host header at all: a browser always has one, and so has to be asked for.
func TestNoHost(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	serve(t, l, nil)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /status.json HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(c)
	if !strings.Contains(string(got), " 403 ") {
		t.Errorf("%s", got)
	}
}

func TestUnixSocket(t *testing.T) {
	l, err := socket.ListenUnix(t.Context(), filepath.Join(t.TempDir(), "h.sock"), 0o660)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, nil)
	for _, host := range []string{"", "localhost", "warren.example"} {
		if a := ask(t, l, http.MethodGet, "/healthz", host); a.code != 200 || a.body != "ok\n" {
			t.Errorf("%+v", a)
		}
	}
}

// However many ask at once, the daemon is asked a few times.
func TestManyAskOnce(t *testing.T) {
	block := make(chan struct{})
	d := &blockedDaemon{fakeDaemon: fakeDaemon{events: history.New(func(error) {})}, block: block}
	h := newShared(d)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := h.Status(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	// One that does not wait any more keeps nobody from the answer.
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Status(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(block)
	all.Wait()
	if n := d.asked.Load(); n < 1 || n > 50/2 {
		t.Errorf("asked %d times", n)
	}
	before := d.asked.Load()
	for deadline := time.Now().Add(30 * time.Second); d.asked.Load() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an old answer is given for ever")
		}
		if _, err := h.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

type blockedDaemon struct {
	fakeDaemon
	block chan struct{}
}

func (d *blockedDaemon) Status(ctx context.Context) (status.Status, error) {
	<-d.block
	return d.fakeDaemon.Status(ctx)
}

// A failure is not given to those who ask later.
func TestFailuresAreNotShared(t *testing.T) {
	d := &fakeDaemon{err: errors.New("not now"), events: history.New(func(error) {})}
	h := newShared(d)
	if _, err := h.Status(t.Context()); err == nil {
		t.Error("no error")
	}
	d.set(status.Status{}, nil)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := h.Status(t.Context()); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the failure stays")
		}
	}
}

// A client that reads nothing holds what is its own alone.
func TestSlots(t *testing.T) {
	s := newSlots()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	for range maxAnswersOfOne {
		if !s.take(t.Context(), "uid 1") {
			t.Fatal("no room")
		}
	}
	if s.take(ctx, "uid 1") {
		t.Error("one client has more than its share")
	}
	got := make(chan bool, 1)
	go func() { got <- s.take(t.Context(), "uid 1") }()
	if !s.take(t.Context(), "uid 2") {
		t.Error("another client has no room")
	}
	s.give("uid 1")
	if !<-got {
		t.Error("the one that waited got nothing")
	}
	for i := maxAnswersOfOne + 1; i < maxAnswers; i++ {
		if !s.take(t.Context(), "uid "+string(rune('a'+i))) {
			t.Fatal("no room")
		}
	}
	if s.take(ctx, "uid 3") {
		t.Error("there are too many in all")
	}
}

// fakePage is a status page that streams.
type fakePage struct {
	source  Source
	running chan struct{}
	stopped chan struct{}
}

func (p *fakePage) Run(ctx context.Context) error {
	close(p.running)
	<-ctx.Done()
	close(p.stopped)
	return nil
}

func (p *fakePage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'self'")
	if r.URL.Path == "/events" {
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(time.Minute))
		io.WriteString(w, "event\n")
		_ = control.Flush()
		<-r.Context().Done()
		return
	}
	_, err := p.source.Status(r.Context())
	io.WriteString(w, "page at "+r.URL.Path)
	if err != nil {
		io.WriteString(w, err.Error())
	}
}

// The page has all other paths, runs while it is served, and its streams end with the server.
func TestPage(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	p := &fakePage{running: make(chan struct{}), stopped: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	d := &fakeDaemon{events: history.New(func(error) {})}
	go func() {
		ended <- New(Config{Source: d, Page: func(s Source) Page { p.source = s; return p }, Logger: slog.New(slog.DiscardHandler)}).Serve(ctx, l)
	}()
	<-p.running
	for _, path := range []string{"/", "/page.css"} {
		a := ask(t, l, http.MethodGet, path, "")
		if a.body != "page at "+path || a.header.Get("Content-Security-Policy") != "default-src 'self'" || a.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%+v", a)
		}
	}
	if a := ask(t, l, http.MethodPost, "/events", ""); a.code != 405 {
		t.Errorf("%+v", a)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write([]byte("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for b := make([]byte, 1); !strings.Contains(got.String(), "event\n"); {
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err, got.String())
		}
		got.Write(b[:n])
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-p.stopped
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the stream: %v", err)
	}
}
