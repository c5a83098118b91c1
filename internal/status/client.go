package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// maxAnswer bounds what a client reads: some ten thousand peers.
const maxAnswer = 16 << 20

// How long a client waits for an answer, if ctx lets it. Tests change them.
var (
	answerWithin = 30 * time.Second // of a question: the daemon has what it answers with
	doneWithin   = 3 * time.Minute  // of what is to be done: a reload waits for tunnels, a restart for the next program
)

// patienceFor is how long a client waits for the answer to a question of a method.
func patienceFor(method string) time.Duration {
	if method == http.MethodGet {
		return answerWithin
	}
	return doneWithin
}

// Get asks the daemon at socket for its status.
func Get(ctx context.Context, socket string) (Status, error) {
	var s Status
	err := ask(ctx, socket, http.MethodGet, "/status", &s)
	return s, err
}

// GetRoutes asks the daemon at socket for routes: see [ParseRoutesOf].
func GetRoutes(ctx context.Context, socket, of string) (Routes, error) {
	var r Routes
	err := ask(ctx, socket, http.MethodGet, "/routes?"+url.Values{"of": {of}}.Encode(), &r)
	if errors.Is(err, errTooLong) {
		err = fmt.Errorf("%w: name a prefix or an address", err)
	}
	return r, err
}

// GetWhy asks the daemon at socket about a prefix or an address: see [ParseWhy]. from and to are peers
// or empty. The error wraps ErrNoPeer if there is none of such a name.
func GetWhy(ctx context.Context, socket, of, from, to string) (Why, error) {
	var y Why
	err := ask(ctx, socket, http.MethodGet, "/why?"+url.Values{"of": {of}, "from": {from}, "to": {to}}.Encode(), &y)
	return y, err
}

// Reload has the daemon at socket read its files again, and waits until it has.
// Mistakes in the files are in the result, not in the error.
func Reload(ctx context.Context, socket string) (ReloadResult, error) {
	var r ReloadResult
	err := ask(ctx, socket, http.MethodPost, "/reload", &r)
	return r, err
}

// SetLogLevel has the daemon at socket log from that level on.
func SetLogLevel(ctx context.Context, socket, level string) error {
	return ask(ctx, socket, http.MethodPost, "/log-level?"+url.Values{"level": {level}}.Encode(), &struct{}{})
}

// Listens reports whether somebody listens at socket, whoever it is, or may: that is not known where nobody is let in.
func Listens(ctx context.Context, socket string) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return !isAway(err)
	}
	_ = conn.Close()
	return true
}

// isAway reports whether nobody listens at a socket, by the error of a connection to it.
func isAway(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

func ask(ctx context.Context, socket, method, path string, answer any) error {
	body, err := read(ctx, socket, method, path, maxAnswer)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return unanswered(method, notOurs(socket, err))
	}
	return nil
}

// errTooLong is wrapped by the error that says that there is more than a client reads.
var errTooLong = errors.New("the daemon's answer is too long")

// read asks, and returns the answer, which may have that many bytes at most.
func read(ctx context.Context, socket, method, path string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patienceFor(method))
	defer cancel()
	stream, err := open(ctx, socket, method, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	body, err := io.ReadAll(io.LimitReader(stream, most+1))
	if err != nil {
		return nil, unanswered(method, explain(socket, err))
	}
	if int64(len(body)) > most {
		return nil, unanswered(method, fmt.Errorf("%w, more than %d MiB", errTooLong, most>>20))
	}
	return body, nil
}

func notOurs(socket string, err error) error {
	return fmt.Errorf("%s does not answer like this version of warren; is another version running? %w", socket, err)
}

// open asks, and returns the answer when it begins; the caller closes it.
func open(ctx context.Context, socket, method, path string) (io.ReadCloser, error) {
	var reached atomic.Bool
	transport := &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: patienceFor(method)}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socket)
		reached.Store(err == nil)
		return c, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://warren"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		if !reached.Load() {
			return nil, notAsked{explain(socket, err)}
		}
		return nil, unanswered(method, explain(socket, err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, unanswered(method, explain(socket, err))
	}
	var f failure
	if json.Unmarshal(body, &f) != nil || f.Error == "" {
		if resp.StatusCode == http.StatusNotFound {
			return nil, errors.New("the daemon is of a version that cannot be asked this: `warren restart` has the program that is on disk take its place")
		}
		f.Error = resp.Status
	}
	if resp.StatusCode == http.StatusNotFound && f.NoPeer {
		return nil, saidError{f.Error, ErrNoPeer}
	}
	return nil, fmt.Errorf("the daemon says: %s", f.Error)
}

// saidError is what the daemon says, which is an error that is known here too.
type saidError struct {
	text string
	is   error
}

func (e saidError) Error() string { return e.text }
func (e saidError) Unwrap() error { return e.is }

// ErrNotRunning is wrapped by the error that says that no daemon answers.
var ErrNotRunning = errors.New("warren is not running")

// ErrNotAsked is wrapped by an error, ErrNotRunning for one, with which nothing has reached a daemon, so that it
// has done nothing. After another error it may have done what it was asked for.
var ErrNotAsked = errors.New("warren was not asked")

type notAsked struct{ error }

func (e notAsked) Unwrap() error      { return e.error }
func (notAsked) Is(target error) bool { return target == ErrNotAsked }

// unanswered is the error of a question that may have reached the daemon.
func unanswered(method string, err error) error {
	if method == http.MethodGet {
		return err
	}
	return fmt.Errorf("it is not known whether that was done: %w", err)
}

// explain turns an error of the connection into what an operator can do.
func explain(socket string, err error) error {
	switch {
	case isAway(err):
		return fmt.Errorf("%w (nobody listens at %s): start it, "+
			"put api.socket back if it was changed, or name the config with -c: %w", ErrNotRunning, socket, bare(err))
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("no permission to use %s: run this as root or as the user that warren runs as: %w", socket, bare(err))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("warren does not answer at %s; its log may say why: %w", socket, context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted before warren answered at %s: %w", socket, context.Canceled)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("warren stopped before it answered at %s: %w", socket, bare(err))
	}
	return fmt.Errorf("ask warren at %s: %w", socket, err)
}

// bare is the error without the made-up URL around it.
func bare(err error) error {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err
}
