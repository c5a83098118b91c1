package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"warren/internal/history"
)

func TestHistory(t *testing.T) {
	path, log := socketPath(t), history.New(nil)
	stop := startWith(t, Config{Socket: path, History: log}, 3*time.Second)
	begin := time.Now().Add(-time.Hour)
	for i, peer := range []string{"a", "b", "a"} {
		log.Add(history.Event{Kind: history.SessionUp, Peer: peer, Cause: fmt.Sprint(i), Time: history.At(begin.Add(time.Duration(i) * time.Minute))})
	}
	for _, c := range []struct {
		q    HistoryQuery
		want string
	}{
		{HistoryQuery{}, "012"},
		{HistoryQuery{Peer: "a"}, "02"},
		{HistoryQuery{Since: begin.Add(30 * time.Second)}, "12"},
		{HistoryQuery{Last: 1}, "2"},
		{HistoryQuery{Peer: "c"}, ""},
	} {
		got := ""
		if err := GetHistory(t.Context(), path, c.q, func(e history.Event) error { got += e.Cause; return nil }); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v", c.q, got, err)
		}
	}

	// What follows has each event when it happens, also after the time that a client has for its question, and
	// ends with the daemon.
	told := make(chan string, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- GetHistory(t.Context(), path, HistoryQuery{Peer: "a", Last: 1, Follow: true}, func(e history.Event) error {
			told <- e.Cause
			return nil
		})
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("told of %s, want %s", got, want)
			}
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Minute):
			t.Fatalf("not told of %s", want)
		}
	}
	expect("2")
	awaitReadTimeout(t, path)
	for i := range 4 {
		log.Add(history.Event{Kind: history.SessionDown, Peer: "b", Cause: "other"})
		log.Add(history.Event{Kind: history.SessionDown, Peer: "a", Cause: fmt.Sprint("later ", i)})
		expect(fmt.Sprint("later ", i))
	}
	stop()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still following")
	}
}

// awaitReadTimeout waits for the time that a client has for its question: one that asks nothing is put out then.
func awaitReadTimeout(t *testing.T, path string) {
	t.Helper()
	silent, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := silent.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(silent); err != nil {
		t.Fatalf("a client that asks nothing stays: %v", err)
	}
}

// The user who asks is the one that the kernel knows.
func TestReloadHasItsUser(t *testing.T) {
	path, uids := socketPath(t), make(chan int64, 1)
	start(t, Config{Socket: path, Reload: func(_ context.Context, uid int64) (ReloadResult, error) {
		uids <- uid
		return ReloadResult{}, nil
	}})
	if _, err := Reload(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if uid := <-uids; uid != int64(os.Geteuid()) {
		t.Errorf("user %d", uid)
	}
}

func TestEventLine(t *testing.T) {
	one := 1
	at := history.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local))
	for _, c := range []struct {
		e    history.Event
		want string
	}{
		{history.Event{Kind: history.TunnelDown, Peer: "site-b", Link: &one, Remote: "192.0.2.1:443", LastedS: 90, Cause: "no answer\x1b"},
			"site-b/1      tunnel_down  192.0.2.1:443, was up 1m30s: no answer?"},
		{history.Event{Kind: history.Reload, By: "uid 0", Changes: []string{"peer a: added", "peer b: removed"}},
			"-             reload  by uid 0: peer a: added; peer b: removed"},
		{history.Event{Kind: history.Stranger, Count: 3, Cause: "an unknown key"}, "-             stranger  3 times: an unknown key"},
		{history.Event{Kind: history.RouteError, Over: true, Condition: "routes", LastedS: 0.25}, "-             route_error  over, routes, after 250ms"},
		{history.Event{Kind: history.SessionUp, Peer: "site-b"}, "site-b        session_up"},
	} {
		c.e.Time = at
		if got := EventLine(c.e); got != "2026-03-01 12:00:00  "+c.want {
			t.Errorf("got  %s\nwant %s", strings.TrimPrefix(got, "2026-03-01 12:00:00  "), c.want)
		}
	}
}
