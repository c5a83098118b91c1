package fib

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

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

// source is the preferred source of routes of prefix's family, zero for none.
func (c *Config) source(prefix netip.Prefix) netip.Addr {
	if prefix.Addr().Is4() {
		return c.Source4
	}
	return c.Source6
}

// FIB holds which routes are wanted, and makes the kernel's owned routes equal to them.
//
// Apply and its siblings note what is wanted and return; Run writes it. All methods may be
// called from any goroutine.
type FIB struct {
	given     Config   // as New got it
	noObjects bool     // the kernel has no next-hop objects: of several ways the first is used
	compat    *os.File // compatFile; nil: there is none
	log       *slog.Logger
	events    *rtnl.Events
	changed   chan struct{}
	wake      chan struct{} // tells Run that there is something to write
	rearm     chan struct{} // tells Run that a time below has changed
	sent      atomic.Uint64

	writing  sync.Mutex // held while the kernel is brought in line; guards what follows
	conn     *rtnl.Conn
	jobs     []job // of one batch, kept for their capacity
	ops      []op
	answers  map[int]rtnl.Answer
	flushing bool // this write is a Flush, which looks at the kernel as often as it has to

	looking sync.Mutex // held by look
	auditor *rtnl.Conn // for looks beside writing; belongs to Run

	// sending is held from before routes are sent to the kernel until its answers are in the picture,
	// and by whoever else changes what the picture says of the kernel. It is taken before mu.
	sending sync.Mutex

	mu       sync.Mutex // guards what follows; never held while routes are being written
	cfg      Config
	pic      picture
	sets     sets
	objects  objects
	dirty    []*entry                   // prefixes to look at; their entries say so too
	underWay bool                       // some of them are being written
	behind   []*entry                   // prefixes that were queued meanwhile, and perhaps are among these
	failed   map[netip.Prefix][]failure // prefixes of which a route was refused
	doubts   doubts
	again    map[netip.Prefix]struct{} // prefixes to look at again when retryAt comes
	broken   error                     // the kernel could not be asked

	moving bool   // routes are to leave groups, of entries in places of the table
	moveAt uint32 // from this one on

	flushes  int           // how often the kernel has removed routes by itself
	looked   time.Time     // when the last look ended
	lookTook time.Duration // how long it took
	lookAt   time.Time     // when Run looks beside writing
	staleAt  time.Time     // when Run marks the picture stale; zero: not
	retryAt  time.Time     // when Run tries again what failed; zero: not
}

// groups are what the picture depends on.
var groups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP,
}

// New opens the netlink sockets, in the calling thread's network namespace, and asks the
// kernel what it can do. It changes nothing. Writing routes needs CAP_NET_ADMIN.
func New(cfg Config) (*FIB, error) { return open(cfg, false) }

// open is New; with noObjects as on a kernel without next-hop objects.
func open(cfg Config, noObjects bool) (_ *FIB, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	f := &FIB{
		cfg: cfg, given: cfg, log: cfg.Logger,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), rearm: make(chan struct{}, 1),
		objects: newObjects(), answers: map[int]rtnl.Answer{},
		failed: map[netip.Prefix][]failure{}, doubts: newDoubts(), again: map[netip.Prefix]struct{}{},
		lookAt: time.Now().Add(lookEvery),
	}
	if f.log == nil {
		f.log = slog.Default()
	}
	f.pic = newPicture(&f.cfg)
	f.sets = newSets(f.pic.via)
	if err := f.dial(noObjects); err != nil {
		f.closeSockets()
		return nil, fmt.Errorf("fib: %w", err)
	}
	return f, nil
}

func (f *FIB) dial(noObjects bool) (err error) {
	if f.conn, err = rtnl.Dial(); err != nil {
		return err
	}
	if f.auditor, err = rtnl.Dial(); err != nil {
		return err
	}
	f.compat, _ = os.Open(compatFile)
	f.noObjects = noObjects
	if !noObjects {
		if f.noObjects, err = probeObjects(f.conn); err != nil {
			return fmt.Errorf("ask for next-hop objects: %w", err)
		}
	}
	f.events, err = rtnl.Subscribe(rtnl.Hidden{Port: f.conn.Port()}, groups...)
	return err
}

func (f *FIB) closeSockets() {
	if f.compat != nil {
		_ = f.compat.Close() // it was only read
	}
	if f.conn != nil {
		f.conn.Close()
	}
	if f.auditor != nil {
		f.auditor.Close()
	}
	if f.events != nil {
		f.events.Close()
	}
}

// Close closes the sockets, after which only Changed, Status and Sent may be called. Let
// Run end first. The routes stay in the kernel; Cleanup removes them.
func (f *FIB) Close() error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.closeSockets()
	return nil
}

// HasObjects reports whether the kernel has next-hop objects (Linux 5.3 and later). Where
// it has none, a prefix uses the first of its ways, and losing a hop rewrites the routes
// of all its prefixes.
func (f *FIB) HasObjects() bool { return !f.noObjects }

// Changed delivers a value when Status may have changed. It holds at most one.
func (f *FIB) Changed() <-chan struct{} { return f.changed }

// Sent returns how many messages that change routes or next-hop objects were sent to the
// kernel.
func (f *FIB) Sent() uint64 { return f.sent.Load() }
