package fib

import (
	"context"
	"fmt"
	"math"
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

// UnreachableMetric is worse than that of any route. The one value above it is that of
// the kernel's own IPv6 routes that stand for no route (net/ipv6/route.c, ip6_null_entry).
const UnreachableMetric = math.MaxUint32 - 1

// write brings the kernel in line with what is wanted. It ends when nothing is left to do
// that can be done now; flush: it does not put off a look at the kernel. FIB.writing is held.
func (f *FIB) write(ctx context.Context, flush bool) error {
	f.flushing = flush
	did, err := f.writeAll(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	did = did || err != nil || f.broken != nil
	if f.broken = err; err != nil {
		f.retryLocked(retrySoon)
	}
	if did {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
	return err
}

func (f *FIB) writeAll(ctx context.Context) (did bool, err error) {
	for ; ; did = true {
		if err := ctx.Err(); err != nil {
			return did, fmt.Errorf("fib: stopped half-way: %w", err)
		}
		wanted, gone, err := f.prepare(ctx)
		if err != nil {
			return did, fmt.Errorf("fib: %w", err)
		}
		if len(wanted)+len(gone) == 0 {
			return did, nil
		}
		// Sorted here, where nobody waits for FIB.mu: of a million it takes a while.
		slices.SortFunc(wanted, dirty.compare)
		slices.SortFunc(gone, dirty.compare)
		left, err := f.writePrefixes(ctx, wanted)
		if err == nil {
			gone, err = f.writePrefixes(ctx, gone)
		}
		if err != nil {
			f.mu.Lock()
			for _, d := range slices.Concat(left, gone) { // their entries say so still
				f.dirty = append(f.dirty, d.entry)
			}
			f.mu.Unlock()
			return did, fmt.Errorf("fib: %w", err)
		}
	}
}

// writePrefixes writes the routes of prefixes, in batches. At an error it returns those
// that are left over.
func (f *FIB) writePrefixes(ctx context.Context, prefixes []dirty) (left []dirty, err error) {
	for len(prefixes) > 0 {
		if err := ctx.Err(); err != nil {
			return prefixes, err
		}
		n, err := f.writeBatch(prefixes)
		if err != nil {
			return prefixes, err
		}
		prefixes = prefixes[n:]
	}
	return nil, nil
}

// writeBatch writes the first of the prefixes, and returns how many. FIB.mu is not held while the
// kernel works, so that nobody waits for it who says what is wanted: when a large table goes it may take
// a second for some hundred messages, as it copies large nodes of its trie and waits for the readers
// of the old ones (net/ipv4/fib_trie.c, tnode_free).
func (f *FIB) writeBatch(prefixes []dirty) (n int, err error) {
	f.sending.Lock()
	defer f.sending.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.objectsLocked(); err != nil { // a line that dies does not wait for a large table
		return 0, err
	}
	b := f.batchLocked(prefixes)
	clear(f.answers)
	f.underWay = true
	f.mu.Unlock()
	err = b.Send(func(i int, a rtnl.Answer) { f.answers[i] = a })
	f.mu.Lock()
	f.underWay = false
	if err == nil {
		f.answersLocked()
		n = len(f.jobs)
	} else {
		f.pic.stale = true
		f.behind = nil // all of them are dirty still
	}
	for _, o := range f.ops {
		f.pic.via.release(o.held.gateway())
	}
	clear(f.jobs) // else they would keep entries' memory
	return n, err
}

// batchLocked makes jobs of the first of the prefixes, and the messages for them. It holds their
// gateways' numbers. Their entries stay dirty, and so where they are, until the kernel has answered.
func (f *FIB) batchLocked(prefixes []dirty) *rtnl.Batch {
	f.jobs, f.ops = f.jobs[:0], f.ops[:0]
	for _, d := range prefixes {
		if len(f.ops) >= batchSize || len(f.jobs) >= 4*batchSize {
			break
		}
		j := job{prefix: d.key.prefix(), entry: d.entry}
		if len(f.failed) > 0 {
			_, j.before = f.failed[j.prefix]
		}
		f.ops = f.planLocked(f.ops, len(f.jobs), &j)
		f.jobs = append(f.jobs, j)
	}
	b := f.conn.Batch()
	for _, o := range f.ops {
		typ := uint16(unix.RTM_DELROUTE)
		if o.add {
			typ = unix.RTM_NEWROUTE
		}
		b.Route(typ, o.flags, f.pic.route(f.jobs[o.job].prefix, o.held))
		f.pic.via.use(o.held.gateway())
	}
	f.sent.Add(uint64(len(f.ops)))
	return b
}

// answersLocked notes the kernel's answers.
func (f *FIB) answersLocked() {
	for i := range f.jobs {
		j := &f.jobs[i]
		j.entry.dirty = false
		if j.before {
			delete(f.failed, j.prefix)
		}
	}
	behind := f.behind
	f.behind = nil
	for _, e := range behind { // now, as an entry that is not dirty may go
		f.queueLocked(e)
	}
	for i, o := range f.ops {
		f.answeredLocked(&f.jobs[o.job], o, f.answers[i])
	}
	for i := range f.jobs {
		f.doneLocked(&f.jobs[i])
	}
}

// doneLocked notes what has become of a prefix. One that was queued again meanwhile may want other ways by now, or none, and
// the set that it wanted may be gone: whether those fail, the next write will tell.
func (f *FIB) doneLocked(j *job) {
	e := j.entry
	if j.failed != nil && !e.dirty {
		f.failLocked(j, "add", namesOf(f.sets.list[e.want].ways), j.failed)
	}
	s := stateFailed
	switch {
	case e.want == 0:
		s = stateNone
	case j.way.typ != 0 && f.pic.has(e, j.way):
		s = stateInstalled
	case j.pending, e.dirty:
		s = statePending
	}
	if !j.exists {
		f.doubts.forget(j.prefix)
	}
	f.pic.setState(e, s)
	f.pic.tidy(e)
}

// answeredLocked notes the answer to one message.
func (f *FIB) answeredLocked(j *job, o op, a rtnl.Answer) {
	switch {
	case !o.add: // a route that is not there, or whose interface is not, is as good as removed
		switch a.Errno {
		case 0, unix.ESRCH, unix.ENODEV, unix.ENOENT:
			f.pic.removeFrom(j.entry, o.held)
		default:
			f.failLocked(j, "remove", f.nameLocked(o.held), f.explain(j, o, a))
		}
	case a.Errno == 0:
		f.pic.addTo(j.entry, o.held)
	case o.passes: // one that is refused only leaves a moment without a route
	default:
		f.refusedLocked(j, o, a)
	}
}

// refusedLocked notes why a route could not be added.
func (f *FIB) refusedLocked(j *job, o op, a rtnl.Answer) {
	sourceGone := a.Errno == unix.EINVAL && o.held.src == sourceOurs &&
		!f.given.source(j.prefix).IsValid() && sourceRefused(a.Text)
	switch {
	case sourceGone, // the address went just now: the next SetSources is on the way
		a.Errno == unix.ENODEV, a.Errno == unix.ENETDOWN: // the link did: its event is on the way
		j.pending = true
		f.again[j.prefix] = struct{}{}
		f.retryLocked(retrySoon)
	case o.held.object() != 0 && a.Errno == unix.EINVAL: // the object is gone: with its link, or by someone else
		j.pending = true
		f.objects.stale, f.objects.dirty = true, true
		f.again[j.prefix] = struct{}{}
		f.retryLocked(retrySoon)
	case o.held.typ == unix.RTN_UNREACHABLE && j.prefix.Addr().Is6() && noIPv6(a.Errno):
		// nothing goes there anyway
	case a.Errno == unix.EEXIST && !f.foreignLocked(j):
		j.pending = true
	default:
		f.failLocked(j, "add", f.nameLocked(o.held), f.explain(j, o, a))
	}
}

// nameLocked says where a route leads, "" for nowhere.
func (f *FIB) nameLocked(h held) string {
	switch {
	case h.typ != unix.RTN_UNICAST:
		return ""
	case h.object() != 0:
		return fmt.Sprintf("next-hop object %d", h.object())
	}
	return f.pic.links[h.index].Name
}

func (f *FIB) failLocked(j *job, op, name string, err error) {
	f.failed[j.prefix] = append(f.failed[j.prefix], failure{op: op, name: name, err: err})
	f.retryLocked(retryFailed)
}

// noIPv6 tells the kernel's answers where it has no IPv6, or none on the loopback
// interface, which routes that lead nowhere belong to.
func noIPv6(errno syscall.Errno) bool {
	return errno == unix.EAFNOSUPPORT || errno == unix.EOPNOTSUPP || errno == unix.EACCES
}
