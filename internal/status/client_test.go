package status

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"warren/internal/history"
	"warren/internal/status/statustest"
)

// questions are all that a client asks; those that change something have a true.
var questions = []struct {
	name    string
	changes bool
	ask     func(ctx context.Context, socket string) error
}{
	{"status", false, func(ctx context.Context, s string) error { _, err := Get(ctx, s); return err }},
	{"routes", false, func(ctx context.Context, s string) error { _, err := GetRoutes(ctx, s, ""); return err }},
	{"why", false, func(ctx context.Context, s string) error { _, err := GetWhy(ctx, s, "10.0.0.0/8", "", ""); return err }},
	{"foresee", false, func(ctx context.Context, s string) error { _, err := Foresee(ctx, s); return err }},
	{"history", false, func(ctx context.Context, s string) error { return GetHistory(ctx, s, HistoryQuery{}, noEvent) }},
	{"history that follows", false, func(ctx context.Context, s string) error {
		return GetHistory(ctx, s, HistoryQuery{Follow: true}, noEvent)
	}},
	{"reload", true, func(ctx context.Context, s string) error { _, err := Reload(ctx, s); return err }},
	{"try", true, func(ctx context.Context, s string) error { _, err := Try(ctx, s, MinTry); return err }},
	{"confirm", true, func(ctx context.Context, s string) error { _, err := Confirm(ctx, s); return err }},
	{"undo", true, func(ctx context.Context, s string) error { _, err := Undo(ctx, s); return err }},
	{"restart", true, func(ctx context.Context, s string) error { _, err := Restart(ctx, s); return err }},
	{"order", true, func(ctx context.Context, s string) error { _, err := Do(ctx, s, Order{Do: "drain"}); return err }},
	{"log level", true, func(ctx context.Context, s string) error { return SetLogLevel(ctx, s, "debug") }},
}

func noEvent(history.Event) error { return nil }

const notKnown = "it is not known whether that was done: "

// silent listens at a socket and, once something was asked, has answer do with the connection what it does.
func silent(t *testing.T, answer func(net.Conn)) (path string) {
	t.Helper()
	path = socketPath(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	statustest.Daemon(t, path, answer)
	return path
}

// No question waits for ever: not for an answer to begin, and not for its end.
func TestAQuestionHasAnEnd(t *testing.T) {
	question, order := answerWithin, doneWithin
	t.Cleanup(func() { answerWithin, doneWithin = question, order })
	answerWithin, doneWithin = 2*time.Second, 2*time.Second
	var all sync.WaitGroup
	for name, answer := range map[string]func(net.Conn){
		"nothing": func(net.Conn) {},
		"a part":  func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")) },
	} {
		path := silent(t, answer)
		for _, q := range questions {
			if name == "a part" && q.name == "history that follows" {
				continue // waits for events to come
			}
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer time.AfterFunc(patience, cancel).Stop()
				err := q.ask(ctx, path)
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "warren does not answer at "+path) ||
					strings.HasPrefix(err.Error(), notKnown) != q.changes || errors.Is(err, ErrNotAsked) {
					t.Errorf("%s, answered by %s: %v", q.name, name, err)
				}
			})
		}
	}
	all.Wait()
}

// An error says whether the daemon may have done what it was asked for.
func TestWhatIsNotKnown(t *testing.T) {
	ends := silent(t, func(c net.Conn) { _ = c.Close() })
	nobody := socketPath(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, q := range questions {
		if err := q.ask(t.Context(), ends); err == nil || errors.Is(err, ErrNotAsked) ||
			strings.HasPrefix(err.Error(), notKnown) != q.changes || !strings.Contains(err.Error(), "warren stopped before it answered") {
			t.Errorf("%s of a daemon that ends: %v", q.name, err)
		}
		if err := q.ask(t.Context(), nobody); !errors.Is(err, ErrNotAsked) || !errors.Is(err, ErrNotRunning) || strings.Contains(err.Error(), notKnown) {
			t.Errorf("%s of nobody: %v", q.name, err)
		}
		if err := q.ask(t.Context(), filepath.Join(file, "socket")); !errors.Is(err, ErrNotAsked) || errors.Is(err, ErrNotRunning) {
			t.Errorf("%s where no socket can be: %v", q.name, err)
		}
		if err := q.ask(gone, ends); !errors.Is(err, ErrNotAsked) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s after an interrupt: %v", q.name, err)
		}
	}

	// One that was interrupted while the daemon works.
	asked := make(chan struct{}, 1)
	works := silent(t, func(net.Conn) { asked <- struct{}{} })
	for _, q := range questions {
		ctx, interrupt := context.WithCancel(t.Context())
		go func() { <-asked; interrupt() }()
		err := q.ask(ctx, works)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotAsked) || strings.HasPrefix(err.Error(), notKnown) != q.changes {
			t.Errorf("%s, interrupted: %v", q.name, err)
		}
	}
}

// An answer that is too long is not read to its end, and not taken for that of another version.
func TestAnswerThatIsTooLong(t *testing.T) {
	padded := func(by int) (path string) {
		return fakeDaemon(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"routes":[]}`)
			blank := strings.Repeat(" ", 1<<16)
			for n := 0; n < by; n += len(blank) {
				if _, err := io.WriteString(w, blank); err != nil {
					return
				}
			}
		})
	}
	if _, err := GetRoutes(t.Context(), padded(0), ""); err != nil {
		t.Error(err)
	}
	if _, err := GetRoutes(t.Context(), padded(maxAnswer), ""); err == nil || err.Error() != "the daemon's answer is too long, more than 16 MiB: name a prefix or an address" {
		t.Error(err)
	}
	if _, err := Get(t.Context(), padded(2*maxAnswer)); err == nil || err.Error() != "the daemon's answer is too long, more than 16 MiB" {
		t.Error(err)
	}
}
