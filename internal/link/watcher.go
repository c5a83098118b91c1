package link

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"warren/internal/rtnl"
)

const (
	quiet       = 50 * time.Millisecond  // an event is taken in when no more came for so long,
	patience    = 200 * time.Millisecond // or when it is this old
	resyncEvery = time.Minute            // a look without an event
	retryAfter  = time.Second            // after a look that failed or is not whole
	cheapLook   = 100 * time.Millisecond // a longer look means large tables:
	pauseFactor = 10                     // such looks take at most a tenth of the time,
	maxPause    = 10 * time.Second       // unless one takes longer than a second
)

// WatcherConfig configures a Watcher.
type WatcherConfig struct {
	Owned  []int        // protocol numbers, 0 to 255, of the routes Warren writes: they never count
	Logger *slog.Logger // nil: slog.Default
}

// Watcher follows the kernel's interfaces, addresses and main routing table. Its
// methods may be called from any goroutine.
type Watcher struct {
	log     *slog.Logger
	source  *source
	events  *rtnl.Events
	changed chan struct{}

	mu   sync.Mutex // guards snap; only NewWatcher and Run write it
	snap *snapshot
}

// NewWatcher opens its sockets in the calling thread's network namespace, and
// takes a first snapshot, so that Locals and Connected tell the truth at once.
// It needs no privileges.
func NewWatcher(cfg WatcherConfig) (*Watcher, error) {
	for _, p := range cfg.Owned {
		if p < 0 || p > 255 {
			return nil, fmt.Errorf("link: protocol %d: allowed are 0 to 255", p)
		}
	}
	w := &Watcher{log: cfg.Logger, changed: make(chan struct{}, 1)}
	if w.log == nil {
		w.log = slog.Default()
	}
	var err error
	if w.events, err = rtnl.Subscribe(rtnl.Hidden{Protocols: cfg.Owned}, groups...); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	if w.source, err = newSource(cfg.Owned); err != nil {
		w.events.Close()
		return nil, fmt.Errorf("link: %w", err)
	}
	if w.snap, _, err = w.source.read(); err != nil {
		w.Close()
		return nil, fmt.Errorf("link: read the kernel's tables: %w", err)
	}
	return w, nil
}

// Close closes the sockets. Let Run end first. Locals and Connected go on with
// the last snapshot.
func (w *Watcher) Close() {
	w.events.Close()
	w.source.close()
}

// Changed delivers a value when the results of Locals, Connected, Gateways, Hosts or
// Interfaces may have changed. It holds at most one value, and only while Run runs. A burst of
// changes gives one value, 50 to 200 ms after it began; where a look takes more
// than 100 ms because other daemons have large tables, looks are so far apart
// that they take no more than a tenth of the time.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Locals returns the prefixes to announce now, sorted, each once.
//
// interfaces are patterns as of path.Match; a prefix counts if it is on, or
// is routed through, an interface that runs and matches one. No patterns: every
// interface but the loopback; then static routes that discard packets count too.
// An interface for which exclude (which may be nil) is true never counts: those
// are the tunnels. Default routes, martians, owned routes and what belongs to a
// VRF are never among the result.
func (w *Watcher) Locals(r Redistribute, interfaces []string, exclude func(ifname string) bool) []netip.Prefix {
	return w.snapshot().locals(r, interfaces, exclude)
}

// Connected returns what is reached without another router: of interfaces that
// are up, tunnels and those without a carrier among them, all addresses and their
// subnets, and foreign routes without a gateway unless they lead into a
// point-to-point interface. Sorted, each once; link-local and other martians, and
// what belongs to a VRF, are left out.
func (w *Watcher) Connected() []netip.Prefix {
	return w.snapshot().connected()
}

// Gateways returns the gateways of all foreign routes of the main table, default
// routes among them, sorted, each once. Link-local ones are left out.
func (w *Watcher) Gateways() []netip.Addr { return w.snapshot().gateways }

// Interface is what a Watcher saw of an interface.
type Interface struct {
	Index      int          // in this network namespace; never 0
	Up         bool         // administratively
	Carrier    bool         // only to be seen of an interface that is up
	Persistent bool         // a TUN device that outlives the process that holds it
	Addresses  []netip.Addr // without the lengths of their subnets
}

// Interfaces returns every interface by its name, and when the kernel was asked for them.
func (w *Watcher) Interfaces() (map[string]Interface, time.Time) {
	s := w.snapshot()
	all := make(map[string]Interface, len(s.interfaces))
	for index, i := range s.interfaces {
		all[i.name] = Interface{Index: index, Up: i.up, Carrier: i.carrier, Persistent: i.persistent}
	}
	for _, a := range s.addresses {
		name := s.interfaces[a.index].name
		i := all[name]
		i.Addresses = append(i.Addresses, a.host)
		all[name] = i
	}
	return all, s.began
}

func (w *Watcher) snapshot() *snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snap
}

// Run follows the kernel until ctx is done, then returns nil. Call it once.
func (w *Watcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	dirty := make(chan struct{}, 1)
	g.Go(func() error { return follow(ctx, w.events, dirty) })
	g.Go(func() error { return w.look(ctx, dirty) })
	return g.Wait()
}

// look takes snapshots: after events, and now and then.
func (w *Watcher) look(ctx context.Context, dirty <-chan struct{}) error {
	next := time.Duration(0) // at once: there may have been events before Run
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-dirty:
			settle(ctx, dirty)
		case <-time.After(next):
		}
		start := time.Now()
		whole, err := w.refresh()
		next = resyncEvery
		if err != nil || !whole {
			next = retryAfter
		}
		switch {
		case err != nil && !failing:
			w.log.Warn("link: cannot read the kernel's tables, trying again", "err", err)
		case err == nil && failing:
			w.log.Info("link: the kernel's tables can be read again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause(time.Since(start))):
		}
	}
}

// pause is how long to rest after a look that took so long. A short look may
// have taken long only because the machine is busy, and then others wait for
// its result all the more.
func pause(took time.Duration) time.Duration {
	if took < cheapLook {
		return took
	}
	return min(pauseFactor*took, maxPause)
}

// settle waits until the burst of events is over, or has gone on for too long.
func settle(ctx context.Context, dirty <-chan struct{}) {
	end := time.After(patience)
	for {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-dirty:
		case <-time.After(quiet):
			return
		}
	}
}

// refresh takes a snapshot and tells if it differs from the one before.
func (w *Watcher) refresh() (whole bool, err error) {
	snap, whole, err := w.source.read()
	if err != nil {
		return false, err
	}
	w.mu.Lock()
	same := snap.equal(w.snap)
	w.snap = snap
	w.mu.Unlock()
	if !same {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
	return whole, nil
}
