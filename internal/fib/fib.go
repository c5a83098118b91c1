package fib

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// Config says which of the kernel's routes are owned, and how they are written.
// Owned are all routes of the table whose protocol number is Protocol, whoever
// wrote them.
type Config struct {
	Table    int          // 1 to 2³²-1; 254 is main
	Metric   int          // 0 to UnreachableMetric-1, lower is preferred; IPv6 turns 0 into 1024
	Protocol int          // 5 to 255; 186 is bgp
	Source4  netip.Addr   // preferred source of IPv4 routes; zero: as SetSources says, else the kernel's choice
	Source6  netip.Addr   // preferred source of IPv6 routes; zero: likewise
	Logger   *slog.Logger // nil: slog.Default
}

func (c *Config) validate() error {
	switch {
	case c.Table < 1 || int64(c.Table) > math.MaxUint32:
		return fmt.Errorf("fib: table %d: allowed are 1 to %d", c.Table, uint32(math.MaxUint32))
	case c.Table == unix.RT_TABLE_LOCAL:
		return fmt.Errorf("fib: table %d is the kernel's own (local)", c.Table)
	case c.Metric < 0 || int64(c.Metric) >= UnreachableMetric:
		return fmt.Errorf("fib: metric %d: allowed are 0 to %d", c.Metric, uint32(UnreachableMetric-1))
	case c.Protocol <= unix.RTPROT_STATIC || c.Protocol > math.MaxUint8:
		// Up to 4 are the kernel's and what `ip route add` writes by default.
		return fmt.Errorf("fib: protocol %d: allowed are 5 to 255", c.Protocol)
	case c.Source4.IsValid() && !c.Source4.Is4():
		return fmt.Errorf("fib: source %s is not an IPv4 address", c.Source4)
	case c.Source6.IsValid() && (!c.Source6.Is6() || c.Source6.Is4In6() || c.Source6.Zone() != ""):
		return fmt.Errorf("fib: source %s is not an IPv6 address", c.Source6)
	}
	return nil
}

// SetSources changes the preferred sources of routes, each where Config says none:
// zero is the kernel's choice. The next Sync rewrites the routes, and no prefix is
// without a route meanwhile. While the kernel does not have an address (any more) the
// routes that are to prefer it are pending.
func (f *FIB) SetSources(v4, v6 netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.cfg
	next.Source4, next.Source6 = v4, v6
	if err := next.validate(); err != nil {
		return err
	}
	if f.given.Source4.IsValid() {
		next.Source4 = f.given.Source4
	}
	if f.given.Source6.IsValid() {
		next.Source6 = f.given.Source6
	}
	if next != f.cfg {
		f.cfg = next
		f.pic.stale = true // it tells sources apart by what is configured
	}
	return nil
}

// source is the preferred source of routes of prefix's family, zero for none.
func (c *Config) source(prefix netip.Prefix) netip.Addr {
	if prefix.Addr().Is4() {
		return c.Source4
	}
	return c.Source6
}

// Times after which Run asks for a Sync although nothing happened.
const (
	resyncEvery = time.Minute            // a full dump finds what no event told
	retryFailed = 10 * time.Second       // the kernel refused a route
	retrySoon   = time.Second            // a link went away under a Sync
	settle      = 200 * time.Millisecond // the kernel tells of a removed address before it flushes the routes
)

// FIB makes the kernel's owned routes equal to the wanted ones.
//
// Sync and Cleanup may be called from any goroutine, one at a time takes
// effect. Run reads events beside them.
type FIB struct {
	cfg     Config
	given   Config // as New got it
	log     *slog.Logger
	events  *rtnl.Events
	changed chan struct{}
	rearm   chan struct{} // tells Run that due has changed
	sent    atomic.Uint64

	syncing sync.Mutex // held by Sync; guards conn and plans
	conn    *rtnl.Conn
	plans   uint32 // number of the last plan

	mu     sync.Mutex // guards what follows; held for one batch or one dump at a time
	pic    picture
	names  map[string]struct{}       // interfaces of the last wanted routes
	failed map[netip.Prefix]struct{} // prefixes that the last Sync could not add
	due    time.Time                 // when Run marks the picture stale
}

// groups are what the picture depends on.
var groups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
}

// New opens the netlink sockets, in the calling thread's network namespace.
// It changes nothing. Writing routes needs CAP_NET_ADMIN.
func New(cfg Config) (*FIB, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	f := &FIB{
		cfg:     cfg,
		given:   cfg,
		log:     cfg.Logger,
		changed: make(chan struct{}, 1),
		rearm:   make(chan struct{}, 1),
		due:     time.Now().Add(resyncEvery),
	}
	if f.log == nil {
		f.log = slog.Default()
	}
	f.pic.cfg = &f.cfg
	f.pic.reset()
	f.pic.stale = true

	var err error
	if f.conn, err = rtnl.Dial(); err != nil {
		return nil, fmt.Errorf("fib: %w", err)
	}
	if f.events, err = rtnl.Subscribe(f.conn.Port(), groups...); err != nil {
		f.conn.Close()
		return nil, fmt.Errorf("fib: %w", err)
	}
	return f, nil
}

// Close closes the sockets, after which only Changed and Sent may be called. Let
// Run end first. The routes stay in the kernel; Cleanup removes them.
func (f *FIB) Close() error {
	f.syncing.Lock()
	defer f.syncing.Unlock()
	f.conn.Close()
	f.events.Close()
	return nil
}

// Changed delivers a value when Sync should be called again: somebody else
// touched an owned route, an interface with wanted routes came up or went, or a
// retry or a check is due. It holds at most one value, and only while Run runs.
func (f *FIB) Changed() <-chan struct{} { return f.changed }

// Sent returns how many messages that change routes were sent to the kernel.
func (f *FIB) Sent() uint64 { return f.sent.Load() }

// Run follows the kernel's events until ctx is done, then returns nil. Call it
// once. Sync works without it, but nobody tells when to call it again.
func (f *FIB) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := f.events.Follow(ctx, f.drain); err != nil {
			return fmt.Errorf("fib: %w", err)
		}
		return nil
	})
	g.Go(func() error { return f.tick(ctx) })
	return g.Wait()
}

// tick marks the picture stale, and asks for a Sync, when that is due.
func (f *FIB) tick(ctx context.Context) error {
	for {
		f.mu.Lock()
		wait := time.Until(f.due)
		if wait <= 0 {
			f.pic.stale = true
			f.due = time.Now().Add(resyncEvery)
			f.signal()
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-f.rearm:
		case <-time.After(max(wait, 0)):
		}
	}
}

// resyncLocked makes Run mark the picture stale after d, or earlier if that is
// already due.
func (f *FIB) resyncLocked(d time.Duration) {
	if at := time.Now().Add(d); at.Before(f.due) {
		f.due = at
		select {
		case f.rearm <- struct{}{}:
		default:
		}
	}
}

func (f *FIB) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}
