package link

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
)

// Redistribute says which kinds of the kernel's prefixes Locals returns.
type Redistribute struct {
	Connected bool
	Static    bool
	Kernel    bool
}

// WatcherConfig configures a Watcher.
type WatcherConfig struct {
	Owned  []int // protocol numbers of routes that never count, those Warren writes
	Logger *slog.Logger
}

// Watcher follows the kernel's interfaces, addresses and routes.
type Watcher struct {
	changed chan struct{}
}

// NewWatcher opens its sockets in the calling thread's network namespace and
// takes a first snapshot.
func NewWatcher(cfg WatcherConfig) (*Watcher, error) { return nil, errors.ErrUnsupported }

// Close closes the sockets.
func (w *Watcher) Close() error { return errors.ErrUnsupported }

// Run follows the kernel until ctx is done.
func (w *Watcher) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Changed delivers a value when Locals or Connected may have changed.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Locals returns the prefixes to announce now, sorted, each once.
func (w *Watcher) Locals(r Redistribute, interfaces []string, exclude func(ifname string) bool) []netip.Prefix {
	return nil
}

// Connected returns every prefix directly connected on an interface that is up.
func (w *Watcher) Connected() []netip.Prefix { return nil }
