package fib

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

const (
	// batchSize is how many messages go to the kernel in one send: more gain
	// nothing, and hold up the reading of events.
	batchSize = 512

	// dumpTries bounds how often a dump is repeated because the kernel's
	// tables changed under it.
	dumpTries = 5
)

// Route is a wanted route: what goes to Prefix leaves by Interface. Without an
// Interface it is unreachable: the sender is told so at once, and no shorter prefix
// counts. Such a route has the metric [UnreachableMetric], so that the two may be
// wanted for one prefix, and one that leads somewhere comes first.
type Route struct {
	Prefix    netip.Prefix // masked; no IPv4-mapped IPv6
	Interface string       // its name
}

// UnreachableMetric is worse than that of any route. The one value above it is that of
// the kernel's own IPv6 routes that stand for no route (net/ipv6/route.c, ip6_null_entry).
const UnreachableMetric = math.MaxUint32 - 1

// Result counts the wanted routes by what has become of them.
type Result struct {
	Installed4 int // IPv4 routes in the kernel that lead into an interface
	Installed6 int // IPv6 routes in the kernel that lead into an interface
	Pending    int // wait for an interface that does not exist or is down, or for a source
	Errors     int // could not be added, or are not wanted and could not be removed
}

// Sync makes the kernel's owned routes equal to want, in which each prefix is
// there at most once with an interface, and once without. It sends only the differences, so a second Sync with the
// same want sends nothing.
//
// A route that fails does not keep the others from being written: the error is
// then an *[Error] that says why, and Result holds good. Any other error means
// that the kernel could not be asked, or that ctx ended, in which case what was
// done so far stays. Every error heals by calling Sync again, and Changed says
// when.
func (f *FIB) Sync(ctx context.Context, want []Route) (Result, error) {
	f.syncing.Lock()
	defer f.syncing.Unlock()
	return f.sync(ctx, want)
}

// Cleanup removes every owned route but those to keep, after a fresh look at the
// kernel, and adds what lacks of these. It is for the start, to clear what a killed
// daemon has left, and for the stop.
func (f *FIB) Cleanup(ctx context.Context, keep ...Route) error {
	f.syncing.Lock()
	defer f.syncing.Unlock()
	f.mu.Lock()
	f.pic.stale = true
	f.mu.Unlock()
	_, err := f.sync(ctx, keep)
	return err
}

func (f *FIB) sync(ctx context.Context, want []Route) (Result, error) {
	for again := false; ; again = true {
		p, err := f.prepare(want)
		if err != nil {
			return Result{}, err
		}
		surprised, err := f.execute(ctx, p, again)
		if err != nil {
			return p.result, err
		}
		if surprised && !again {
			continue // the picture was wrong: look at the kernel and plan anew
		}
		return f.finish(p)
	}
}

// prepare brings the picture up to date and plans.
func (f *FIB) prepare(want []Route) (*plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.drainLocked()
	if err == nil && f.pic.stale {
		err = f.reloadLocked()
	}
	if err != nil {
		return nil, fmt.Errorf("fib: read the kernel's routes: %w", err)
	}
	p := f.planLocked(want)
	f.names = p.names
	return p, nil
}

// execute sends the plan, additions first. surprised tells that a route was in
// the kernel of which the picture knew nothing; the picture is then stale.
func (f *FIB) execute(ctx context.Context, p *plan, again bool) (surprised bool, err error) {
	for _, ops := range [][]op{p.adds, p.dels} {
		for batch := range slices.Chunk(ops, batchSize) {
			if err := ctx.Err(); err != nil {
				return false, fmt.Errorf("fib: stopped half-way: %w", err)
			}
			s, err := f.send(p, batch, again)
			if err != nil {
				return false, fmt.Errorf("fib: %w", err)
			}
			surprised = surprised || s
		}
	}
	return surprised, nil
}

// send writes one batch, and notes in the picture and the plan what came of it.
func (f *FIB) send(p *plan, batch []op, again bool) (surprised bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.conn.Batch()
	for _, o := range batch {
		typ := uint16(unix.RTM_DELROUTE)
		if o.add {
			typ = unix.RTM_NEWROUTE
		}
		b.Route(typ, o.flags, f.pic.route(o.prefix, o.held))
	}
	f.sent.Add(uint64(len(batch)))
	answers := make(map[int]rtnl.Answer)
	if err := b.Send(func(i int, a rtnl.Answer) { answers[i] = a }); err != nil {
		f.pic.stale = true
		f.resyncLocked(retrySoon)
		return false, err
	}
	for i, o := range batch {
		a := answers[i]
		if o.add {
			surprised = f.addedLocked(p, o, a, again) || surprised
		} else {
			f.removedLocked(p, o, a)
		}
	}
	return surprised, nil
}

// addedLocked notes the answer to an addition. surprised: see execute.
func (f *FIB) addedLocked(p *plan, o op, a rtnl.Answer, again bool) (surprised bool) {
	if o.passes { // one that is refused only leaves a moment without a route
		if a.Errno == 0 {
			f.pic.add(o.prefix, o.held, p.number)
		}
		return false
	}
	if a.Errno == unix.EINVAL && o.held.src == sourceOurs && !f.given.source(o.prefix).IsValid() && sourceRefused(a.Text) {
		p.result.Pending++ // the address went just now: the next SetSources is on the way
		f.resyncLocked(retrySoon)
		return false
	}
	if o.held.typ == unix.RTN_UNREACHABLE && o.prefix.Addr().Is6() && noIPv6(a.Errno) {
		return false // nothing goes there anyway
	}
	switch a.Errno {
	case 0:
		f.pic.add(o.prefix, o.held, p.number)
		p.installed(o.prefix, o.held)
	case unix.ENODEV, unix.ENETDOWN: // the link went away just now, its event is on the way
		p.result.Pending++
		f.resyncLocked(retrySoon)
	case unix.EEXIST:
		if _, known := f.failed[o.prefix]; !known && !again {
			f.pic.stale = true
			return true
		}
		fallthrough
	default:
		p.failed.add("add", o.prefix, o.name, f.explain(o, a))
	}
	return false
}

// noIPv6 tells the kernel's answers where it has no IPv6, or none on the loopback
// interface, which routes that lead nowhere belong to.
func noIPv6(errno syscall.Errno) bool {
	return errno == unix.EAFNOSUPPORT || errno == unix.EOPNOTSUPP || errno == unix.EACCES
}

// removedLocked notes the answer to a removal. A route that is not there, or
// whose interface is not, is as good as removed.
func (f *FIB) removedLocked(p *plan, o op, a rtnl.Answer) {
	switch a.Errno {
	case 0, unix.ESRCH, unix.ENODEV, unix.ENOENT:
		f.pic.remove(o.prefix, o.held)
	default:
		p.failed.add("remove", o.prefix, o.name, f.explain(o, a))
	}
}

// finish remembers what the events have to be watched for, and reports.
func (f *FIB) finish(p *plan) (Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = p.failed.prefixes
	p.result.Errors = p.failed.total
	if p.failed.total > 0 {
		f.resyncLocked(retryFailed)
	}
	return p.result, p.failed.err()
}

// reloadLocked makes the picture anew from dumps.
func (f *FIB) reloadLocked() error {
	for try := 1; ; try++ {
		interrupted, err := f.dumpLocked()
		if err != nil {
			return err
		}
		if interrupted && try < dumpTries {
			continue
		}
		if interrupted { // what is missing is found by EEXIST, or by the next try
			f.resyncLocked(retrySoon)
		}
		f.pic.stale = false
		return nil
	}
}

// dumpLocked fills the picture once.
func (f *FIB) dumpLocked() (interrupted bool, err error) {
	f.pic.reset()
	interrupted, err = f.conn.Dump(unix.RTM_GETLINK, rtnl.LinkRequest(), func(typ uint16, b []byte) {
		if l, ok := rtnl.ParseLink(b); ok && typ == unix.RTM_NEWLINK {
			f.pic.setLink(l)
		}
	})
	if err != nil {
		return false, fmt.Errorf("dump links: %w", err)
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		i, err := f.conn.Dump(unix.RTM_GETROUTE, rtnl.RouteRequest(family, uint32(f.cfg.Table), uint8(f.cfg.Protocol)), func(typ uint16, b []byte) {
			if r, ok := rtnl.ParseRoute(b); ok && typ == unix.RTM_NEWROUTE && f.pic.owned(r) {
				f.pic.add(r.Prefix, f.pic.held(r), 0)
			}
		})
		// ENOENT: nobody has written to the table yet. The others: no IPv6.
		if err != nil && !errors.Is(err, unix.ENOENT) &&
			!errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return false, fmt.Errorf("dump routes: %w", err)
		}
		interrupted = interrupted || i
	}
	return interrupted, nil
}
