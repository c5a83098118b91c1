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
	"syscall"
)

// maxAnswer bounds what a client reads: some ten thousand peers.
const maxAnswer = 16 << 20

// Get asks the daemon at socket for its status. It waits as long as ctx lets it.
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

func ask(ctx context.Context, socket, method, path string, answer any) error {
	stream, err := open(ctx, socket, method, path)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	body, err := io.ReadAll(io.LimitReader(stream, maxAnswer+1))
	if err != nil {
		return explain(socket, err)
	}
	if len(body) > maxAnswer {
		return errTooLong
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return notOurs(socket, err)
	}
	return nil
}

// errTooLong says that there is more than a client reads.
var errTooLong = fmt.Errorf("the daemon's answer is too long, more than %d MiB", maxAnswer>>20)

func notOurs(socket string, err error) error {
	return fmt.Errorf("%s does not answer like this version of warren; is another version running? %w", socket, err)
}

// open asks, and returns the answer, which the caller closes.
func open(ctx context.Context, socket, method, path string) (io.ReadCloser, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://warren"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, explain(socket, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, explain(socket, err)
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

// explain turns an error of the connection into what an operator can do.
func explain(socket string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (nobody listens at %s): start it, "+
			"or name its configuration with -c if that sets another api.socket: %w", ErrNotRunning, socket, bare(err))
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("no permission to use %s: run this as root or as the user that warren runs as: %w", socket, bare(err))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("warren does not answer at %s; its log may say why: %w", socket, err)
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
