package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/history"
	"warren/internal/httpapi"
	"warren/internal/socket"
	"warren/internal/status"
)

// httpSource is what is answered over HTTP.
type httpSource struct{ l *loop }

var _ httpapi.Source = httpSource{}

func (h httpSource) Status(ctx context.Context) (status.Status, error) { return h.l.snapshot(ctx) }

func (h httpSource) Why(ctx context.Context, q status.WhyQuestion) (status.Why, error) {
	return h.l.why(ctx, q)
}

func (h httpSource) Events(q history.Query) ([]history.Event, uint64, <-chan struct{}) {
	return h.l.history.Select(q)
}

// httpPort listens at [api] http, which a reload may change. That somebody else has the address is no
// reason not to route: it is said, and tried again.
type httpPort struct {
	serve   func(context.Context, net.Listener) error
	report  func(error) // why nothing is answered; nil: it is, or nothing is to be
	backOff func(tries int) time.Duration
	again   chan struct{} // capacity 1: to be tried at once

	mu      sync.Mutex    // guards what follows
	address string        // as config.API.HTTP has it
	moved   chan struct{} // closed, and replaced, when address changes
	opened  net.Listener  // at address, and not served yet; nil: it is to be opened
	serving net.Listener  // nil: none
}

func newHTTPPort(address string, serve func(context.Context, net.Listener) error, report func(error)) *httpPort {
	return &httpPort{
		serve: serve, report: report, backOff: backOff, again: make(chan struct{}, 1),
		address: address, moved: make(chan struct{}),
	}
}

// Run listens and serves until ctx is done.
func (h *httpPort) Run(ctx context.Context) error {
	for tries := 1; ctx.Err() == nil; tries++ {
		l, moved, err := h.open(ctx)
		if l == nil && err == nil {
			tries = 0
			h.report(nil)
			select {
			case <-moved:
			case <-ctx.Done():
			}
			continue
		}
		if err == nil {
			tries = 0
			h.report(nil)
			err = h.serveUntil(ctx, moved, l)
		}
		if err == nil || isClosed(moved) {
			continue
		}
		h.report(err)
		select {
		case <-time.After(h.backOff(max(tries, 1))):
		case <-h.again:
		case <-moved:
		case <-ctx.Done():
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opened != nil {
		h.opened.Close()
	}
	return nil
}

// open returns a listener at the address there is, none if that is empty.
func (h *httpPort) open(ctx context.Context) (l net.Listener, moved <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, h.opened = h.opened, nil
	if l == nil && h.address != "" {
		l, err = listenHTTP(ctx, h.address)
	}
	h.serving = l
	return l, h.moved, err
}

// serveUntil serves until there is another address.
func (h *httpPort) serveUntil(ctx context.Context, moved <-chan struct{}, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-moved:
			cancel()
		case <-over:
		}
	}()
	return h.serve(ctx, l)
}

// move has HTTP be answered at another address, or as before if that cannot be had.
func (h *httpPort) move(address string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if address == h.address {
		return nil
	}
	if address == "" {
		h.moveLocked(address, nil)
		return nil
	}
	l, err := listenHTTP(context.Background(), address)
	if errors.Is(err, unix.EADDRINUSE) && h.serving != nil {
		// The one there is may be in the way, as 127.0.0.1 is in that of 0.0.0.0. Run opens it again
		// if it was not.
		old := h.serving
		h.moveLocked(h.address, nil)
		old.Close()
		l, err = listenHTTP(context.Background(), address)
	}
	if err == nil {
		h.moveLocked(address, l)
	}
	return err
}

// moveBack undoes a move. If the address cannot be had any more it is tried again.
func (h *httpPort) moveBack(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if address != h.address {
		h.moveLocked(address, nil)
	}
}

// moveLocked ends what is served, and has Run go on with l, at an address; nil: Run opens it.
func (h *httpPort) moveLocked(address string, l net.Listener) {
	if h.opened != nil {
		h.opened.Close()
	}
	h.address, h.opened, h.serving = address, l, nil
	close(h.moved)
	h.moved = make(chan struct{})
}

// hurry has it tried again at once, if it failed.
func (h *httpPort) hurry() {
	select {
	case h.again <- struct{}{}:
	default:
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// listenHTTP listens at an address; its error says what an operator can do.
func listenHTTP(ctx context.Context, address string) (net.Listener, error) {
	l, err := listenLocal(ctx, address)
	if err == nil {
		return l, nil
	}
	err = fmt.Errorf("api.http = %q: %w", address, err)
	switch {
	case errors.Is(err, unix.EADDRINUSE) || errors.Is(err, socket.ErrHeld):
		err = fmt.Errorf("%w; what answers there is another program: stop it, or set another address", err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		err = fmt.Errorf("%w; it is no address of this router: set one that is", err)
	}
	return nil, err
}
