package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"warren/internal/history"
	"warren/internal/status"
)

// paths is what "/" says where there is no status page.
const paths = `This is warren.

/metrics       for Prometheus
/healthz       whether all peers have a session
/status.json   as warren status --json
/history.json  what has happened; ?peer=NAME and ?since=8h for less
`

// newHandler makes the handler of all paths, and the page if there is one.
func (s *Server) newHandler() (http.Handler, Page) {
	source := newShared(s.config.Source)
	a := answers{source: source, slots: newSlots()}
	mux := http.NewServeMux()
	mux.Handle("/metrics", a.slots.bound(newMetrics(source, s.config.Version)))
	mux.Handle("/status.json", a.of("application/json", a.status))
	mux.Handle("/history.json", a.of("application/json", a.history))
	mux.Handle("/healthz", a.of(plainText, a.health))
	if s.config.Page == nil {
		mux.Handle("/{$}", a.of(plainText, func(context.Context, *http.Request) ([]byte, error) { return []byte(paths), nil }))
		return mux, nil
	}
	page := s.config.Page(source)
	mux.Handle("/", page)
	return mux, page
}

const plainText = "text/plain; charset=utf-8"

// answers makes the answers.
type answers struct {
	source Source
	slots  *slots
}

// refused is an error with the code of its answer, and its body.
type refused struct {
	code int
	text string
}

func (r refused) Error() string { return r.text }

// of is a handler whose answers are whole before the first byte is sent.
func (a *answers) of(contentType string, answer func(context.Context, *http.Request) ([]byte, error)) http.Handler {
	return a.slots.bound(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := answer(r.Context(), r)
		var not refused
		switch {
		case err == nil:
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(body) // a client that has gone is none of ours
		case errors.As(err, &not):
			http.Error(w, not.text, not.code)
		default:
			http.Error(w, "the daemon does not answer now: "+err.Error(), http.StatusServiceUnavailable)
		}
	}))
}

// status is what `warren status --json` prints.
func (a *answers) status(ctx context.Context, _ *http.Request) ([]byte, error) {
	s, err := a.source.Status(ctx)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	err = enc.Encode(s)
	return b.Bytes(), err
}

// history is an array of what `warren history --json` prints.
func (a *answers) history(ctx context.Context, r *http.Request) ([]byte, error) {
	q := history.Query{Peer: r.FormValue("peer")}
	if text := r.FormValue("since"); text != "" {
		ago, err := history.ParseAgo(text)
		if err != nil {
			return nil, refused{http.StatusBadRequest, "since: " + err.Error()}
		}
		q.Since = time.Now().Add(-ago)
	}
	if q.Peer != "" {
		if err := a.isPeer(ctx, q.Peer); err != nil {
			return nil, err
		}
	}
	events, _, _ := a.source.Events(q)
	b := []byte("[")
	for i, e := range events {
		line, err := history.Line(e)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, '\n'), bytes.TrimSuffix(line, []byte("\n"))...)
	}
	return append(b, "\n]\n"...), nil
}

// isPeer refuses a name that is no peer's, and was none's of which there is an event.
func (a *answers) isPeer(ctx context.Context, name string) error {
	if events, _, _ := a.source.Events(history.Query{Peer: name, Last: 1}); len(events) > 0 {
		return nil
	}
	s, err := a.source.Status(ctx)
	if err != nil {
		return err
	}
	if _, ok := s.Peer(name); !ok {
		return refused{http.StatusNotFound, fmt.Sprintf("there is no peer %q", name)}
	}
	return nil
}

// health is "ok" while every peer has a session, and else a line for each that has not.
func (a *answers) health(ctx context.Context, _ *http.Request) ([]byte, error) {
	s, err := a.source.Status(ctx)
	if err != nil {
		return nil, refused{http.StatusServiceUnavailable, "warren is starting, or does not answer: " + err.Error()}
	}
	if lines := status.WithoutSession(s); len(lines) > 0 {
		return nil, refused{http.StatusServiceUnavailable, strings.Join(lines, "\n")}
	}
	return []byte("ok\n"), nil
}
