package fib

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// These bound what looking costs: after a look there is no other for so many times as long
// as it took.
const (
	lookShare  = 100 // one that nothing asks for
	doubtShare = 10  // one that decides whose a route is
)

// refreshLocked brings the picture up to date: it reads the events that wait, and looks at the
// kernel where these are not enough. FIB.mu is not held during a look.
//
// Events that wait tell of the past. One that is applied after a route was written may take
// that out of the picture, and no event puts it back, as those of our own requests are
// hidden. So they are read before anything is written, and, as a look finds prefixes to
// write, after each look too.
func (f *FIB) refreshLocked(ctx context.Context) error {
	if _, err := f.drainLocked(); err != nil {
		return err
	}
	if f.flushing && len(f.doubts.open) > 0 {
		f.pic.stale = true
	}
	looked := f.pic.stale
	for try := 1; f.pic.stale; try++ {
		f.pic.stale = false
		f.mu.Unlock()
		complete, err := f.look(ctx, f.conn)
		f.mu.Lock()
		if err == nil {
			_, err = f.drainLocked()
		}
		if err != nil {
			f.pic.stale = true
			return fmt.Errorf("read the kernel's routes: %w", err)
		}
		f.pic.stale = f.pic.stale || !complete
		if f.pic.stale && try == dumpTries { // what is missing is found by EEXIST, or by the next look
			f.pic.stale = false
			f.lookLocked(retrySoon)
		}
	}
	if looked {
		f.decideLocked()
	}
	return nil
}

// look compares the picture with the kernel, and queues the prefixes that are not as they
// should be. FIB.mu is held only for a message at a time, so that changes are written and
// events are read meanwhile: what these say of a route later than the kernel's answer is
// put right by the kernel's answer to the message that follows from it.
//
// complete: nothing was missed because the kernel's tables changed meanwhile.
func (f *FIB) look(ctx context.Context, c *rtnl.Conn) (complete bool, err error) {
	f.looking.Lock()
	defer f.looking.Unlock()
	begin := time.Now()
	if err := f.lookAtLinks(c); err != nil {
		return false, err
	}
	f.mu.Lock()
	f.pic.epoch++
	flushes := f.flushes
	f.objects.stale, f.objects.dirty = true, true
	f.mu.Unlock()
	complete = true
	for _, family := range families {
		request := rtnl.RouteRequest(family, uint32(f.cfg.Table), uint8(f.cfg.Protocol))
		interrupted, err := c.Dump(unix.RTM_GETROUTE, request, func(typ uint16, b []byte) {
			// A kernel without IPv6 shows the IPv4 routes in its place (rtnl_dump_all).
			if r, ok := rtnl.ParseRoute(b); ok && b[0] == family && typ == unix.RTM_NEWROUTE {
				f.saw(r)
			}
		})
		// ENOENT: nobody has written to the table yet. The others: no IPv6.
		if err != nil && !errors.Is(err, unix.ENOENT) &&
			!errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return false, fmt.Errorf("dump routes: %w", err)
		}
		complete = complete && !interrupted
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	if complete {
		f.forgetUnseen()
	}
	f.mu.Lock()
	f.looked = time.Now()
	f.lookTook = f.looked.Sub(begin)
	if f.flushes != flushes { // an answer that was under way may have brought back what had gone
		f.lookLocked(retrySoon)
	}
	f.mu.Unlock()
	return complete, nil
}

func (f *FIB) lookAtLinks(c *rtnl.Conn) error {
	f.sending.Lock()
	defer f.sending.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[uint32]bool{}
	_, err := c.Dump(unix.RTM_GETLINK, rtnl.LinkRequest(), func(typ uint16, b []byte) {
		if l, ok := rtnl.ParseLink(b); ok && typ == unix.RTM_NEWLINK {
			seen[l.Index] = true
			f.applyLinkLocked(l)
		}
	})
	if err != nil {
		return fmt.Errorf("dump links: %w", err)
	}
	for index, l := range f.pic.links {
		if !seen[index] {
			f.forgetLinkLocked(index)
			f.pic.removeLink(index)
			f.linkChangedLocked(l.Name, false)
		}
	}
	return nil
}

// saw takes in a route of the kernel's.
func (f *FIB) saw(r rtnl.Route) {
	f.sending.Lock()
	defer f.sending.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.pic.owned(r) {
		return
	}
	if e := f.pic.entry(r.Prefix); f.pic.addTo(e, f.pic.held(r)) {
		f.queueLocked(e)
	}
}

// forgetUnseen drops the routes that the kernel has no more.
func (f *FIB) forgetUnseen() {
	f.sending.Lock()
	defer f.sending.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pic.entries.walk(func() {
		f.mu.Unlock()
		f.sending.Unlock()
		f.sending.Lock()
		f.mu.Lock()
	}, func(e *entry) {
		if f.pic.removeIf(e, func(n node) bool { return n.seen != f.pic.epoch }) {
			f.queueLocked(e)
		}
	})
}
