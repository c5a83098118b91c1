package status

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/history"
)

// fakeDaemon answers each question about the history with answer.
func fakeDaemon(t *testing.T, answer http.HandlerFunc) (path string) {
	t.Helper()
	path = socketPath(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: answer}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return path
}

func lineOf(t *testing.T, cause string) []byte {
	t.Helper()
	line, err := history.Line(history.Event{Time: history.At(time.Now()), Kind: history.SessionUp, Cause: cause})
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// The daemon does not wait for a pager in which nobody turns the page: what it has is read before it is shown.
func TestHistoryIsReadWhileItIsShown(t *testing.T) {
	const many = 4096
	long := lineOf(t, strings.Repeat("x", 1000)) // of all, more than a socket has room for
	for _, follow := range []bool{false, true} {
		written := make(chan struct{})
		path := fakeDaemon(t, func(w http.ResponseWriter, r *http.Request) {
			for range many {
				if _, err := w.Write(long); err != nil {
					return
				}
			}
			if http.NewResponseController(w).Flush() == nil {
				close(written)
			}
			if follow {
				<-r.Context().Done()
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		got := 0
		err := GetHistory(ctx, path, HistoryQuery{Follow: follow}, func(history.Event) error {
			select {
			case <-written:
			case <-time.After(time.Minute):
				return errors.New("the daemon waits for what is shown")
			}
			if got++; got == many && follow {
				cancel()
			}
			return nil
		})
		cancel()
		if follow && errors.Is(err, context.Canceled) {
			err = nil
		}
		if err != nil || got != many {
			t.Errorf("follow %v: %d events, %v", follow, got, err)
		}
	}
}

// What ends amid a line says so, and the line is not taken for that of another version.
func TestHistoryEndsAmidALine(t *testing.T) {
	line := lineOf(t, "whole")
	path := fakeDaemon(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(slices.Concat(line, line[:len(line)/2]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	for _, follow := range []bool{false, true} {
		got := ""
		err := GetHistory(t.Context(), path, HistoryQuery{Follow: follow}, func(e history.Event) error { got += e.Cause; return nil })
		is, want := io.ErrUnexpectedEOF, "" // it is read to its end at first
		if follow {
			is, want = ErrStopped, "whole"
		}
		if got != want || !errors.Is(err, is) || strings.Contains(err.Error(), "version") {
			t.Errorf("follow %v: %q, %v", follow, got, err)
		}
	}
}

// Lines that nobody takes are not kept without end. That some are missing is said.
func TestLinesThatNobodyTakes(t *testing.T) {
	const room = 2
	r := lineReader{lines: make(chan []byte, room), stop: make(chan struct{})}
	close(r.stop)
	r.run(strings.NewReader("1\n2\n3\n4\n"))
	got := ""
	for line := range r.lines {
		got += string(line)
	}
	if got != "1\n2\n" || !r.full {
		t.Errorf("%q, full %v", got, r.full)
	}
	for _, c := range []struct {
		full   bool
		err    error
		follow bool
		is     error
	}{
		{true, io.ErrUnexpectedEOF, true, ErrBehind},
		{true, nil, true, ErrStopped}, // it has said all
		{false, io.ErrUnexpectedEOF, true, ErrStopped},
		{true, io.ErrUnexpectedEOF, false, io.ErrUnexpectedEOF},
		{true, nil, false, nil},
		{false, bufio.ErrBufferFull, true, bufio.ErrBufferFull},
	} {
		r := lineReader{full: c.full, err: c.err}
		if err := r.ended("socket", c.follow); !errors.Is(err, c.is) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	long := lineReader{lines: make(chan []byte, room), stop: make(chan struct{})}
	if long.run(strings.NewReader(strings.Repeat("x", maxEvent+1))); !errors.Is(long.err, bufio.ErrBufferFull) {
		t.Errorf("a line of any length: %v", long.err)
	}
}

// deadlines counts the writes that had no time of their own.
type deadlines struct {
	*httptest.ResponseRecorder
	set          bool
	writes, late int
}

func (d *deadlines) SetReadDeadline(time.Time) error { return nil }

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.set = at.After(time.Now())
	return nil
}

func (d *deadlines) Write(b []byte) (int, error) {
	if !d.set {
		d.late++
	}
	d.set = false
	d.writes++
	return d.ResponseRecorder.Write(b)
}

// A client that reads slowly has time for each event, however many there are.
func TestHistoryOfASlowClient(t *testing.T) {
	log := history.New(nil)
	for i := range 100 {
		log.Add(history.Event{Kind: history.SessionUp, Cause: fmt.Sprint(i)})
	}
	s := &Server{config: Config{History: log}}
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s.history(t.Context(), w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/history", nil))
	if w.writes != 100 || w.late > 0 {
		t.Errorf("%d of %d writes have no time of their own", w.late, w.writes)
	}
	if n := strings.Count(w.Body.String(), "\n"); n != 100 {
		t.Errorf("%d lines", n)
	}
}
