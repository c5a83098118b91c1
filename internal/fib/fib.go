package fib

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
)

// Config says which of the kernel's routes are owned, and how they are written.
// Owned are all routes of the table whose protocol number is Protocol, whoever
// wrote them.
type Config struct {
	Table    int        // 1 to 2³²-1; 254 is main
	Metric   int        // 0 to 2³²-1, lower is preferred; IPv6 turns 0 into 1024
	Protocol int        // 5 to 255; 186 is bgp
	Source4  netip.Addr // preferred source of IPv4 routes; zero: the kernel's choice
	Source6  netip.Addr // preferred source of IPv6 routes; zero: the kernel's choice
	Logger   *slog.Logger
}

// Route is a wanted route: what goes to Prefix leaves by Interface.
type Route struct {
	Prefix    netip.Prefix // masked, no IPv4-mapped IPv6
	Interface string
}

// Result counts the wanted routes by what has become of them. Every wanted
// route is in exactly one of the counts.
type Result struct {
	Installed4 int // in the kernel, IPv4
	Installed6 int // in the kernel, IPv6
	Pending    int // waits for an interface that does not exist or is down
	Errors     int // the kernel refused it, or refused a removal
}

// FIB makes the kernel's owned routes equal to the wanted ones.
type FIB struct {
	changed chan struct{}
}

// New opens the netlink sockets in the calling thread's network namespace.
func New(cfg Config) (*FIB, error) { return nil, errors.ErrUnsupported }

// Close closes the sockets. The routes stay; see Cleanup.
func (f *FIB) Close() error { return errors.ErrUnsupported }

// Sync makes the kernel's owned routes equal to want.
func (f *FIB) Sync(ctx context.Context, want []Route) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

// Run follows the kernel's events until ctx is done.
func (f *FIB) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Changed delivers a value when Sync should be called again.
func (f *FIB) Changed() <-chan struct{} { return f.changed }

// Cleanup removes every owned route.
func (f *FIB) Cleanup(ctx context.Context) error { return errors.ErrUnsupported }

// Sent returns how many route messages were sent to the kernel so far.
func (f *FIB) Sent() uint64 { return 0 }
