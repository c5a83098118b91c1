package status

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"warren/internal/history"
)

const (
	// maxEvent bounds a line of the history, in bytes. Its texts are bounded.
	maxEvent = 64 << 10
	// maxHistory bounds what a client reads of it: some thousand of the longest events.
	maxHistory = 64 << 20
	// maxWaiting is how many events a client has at most that are not told yet: several times what a daemon keeps.
	maxWaiting = 1 << 14
)

// Why what follows the history has ended.
var (
	// ErrStopped says that the daemon stopped.
	ErrStopped = errors.New("warren has stopped")
	// ErrBehind says that events came faster than they were told, so that the daemon has given up.
	ErrBehind = errors.New("events came faster than this output was read, so that not all are here; `warren history` has the last ones")
)

// GetHistory asks the daemon at socket for its history, and calls each with each event, the oldest first,
// until each returns an error. However long each takes, the daemon does not wait for it. It returns nil when all
// were told; one that follows ends with an error only, ErrStopped if the daemon ends, ErrBehind if more
// events wait to be told than there is room for.
func GetHistory(ctx context.Context, socket string, q HistoryQuery, each func(history.Event) error) error {
	body, err := askHistory(ctx, socket, q)
	if err != nil {
		return err
	}
	r := lineReader{lines: make(chan []byte, maxWaiting), stop: make(chan struct{})}
	go r.run(body)
	defer func() {
		close(r.stop)
		_ = body.Close()
		for range r.lines { // until run has returned
		}
	}()
	for line := range r.lines {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var e history.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return notOurs(socket, err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.ended(socket, q.Follow)
}

// askHistory asks for a history. All of one that has an end is read at once.
func askHistory(ctx context.Context, socket string, q HistoryQuery) (io.ReadCloser, error) {
	path := "/history?" + q.values().Encode()
	if q.Follow {
		return open(ctx, socket, http.MethodGet, path)
	}
	body, err := read(ctx, socket, http.MethodGet, path, maxHistory)
	return io.NopCloser(strings.NewReader(string(body))), err
}

// lineReader reads lines as they come, while somebody else works on those before: a pager that shows the first page
// reads nothing until the next one is wanted, and a daemon does not wait so long.
type lineReader struct {
	lines chan []byte   // each with its newline; closed at the end
	stop  chan struct{} // closed when no more are wanted

	// Valid once lines is closed.
	err  error // why there are no more; nil: those were all
	full bool  // there was no room in lines for a time
}

// run reads body until it ends. A line that it does not end is not one.
func (r *lineReader) run(body io.Reader) {
	defer close(r.lines)
	in := bufio.NewReaderSize(body, maxEvent)
	for {
		text, err := in.ReadSlice('\n')
		switch {
		case err == io.EOF && len(text) == 0:
			return
		case err == io.EOF:
			r.err = io.ErrUnexpectedEOF
			return
		case err != nil:
			r.err = err
			return
		}
		line := slices.Clone(text)
		select {
		case r.lines <- line:
			continue
		default:
		}
		r.full = true
		select {
		case r.lines <- line:
		case <-r.stop:
			return
		}
	}
}

// ended says why there are no more lines; nil: those were all.
func (r *lineReader) ended(socket string, follow bool) error {
	switch {
	case errors.Is(r.err, bufio.ErrBufferFull):
		return notOurs(socket, r.err)
	case follow && r.full && r.err != nil:
		return ErrBehind
	case follow:
		return ErrStopped
	case r.err != nil:
		return explain(socket, r.err)
	}
	return nil
}
