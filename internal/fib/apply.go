package fib

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Result counts the wanted routes by what has become of them.
type Result struct {
	Installed4 int // IPv4 routes in the kernel that lead into an interface
	Installed6 int // IPv6 routes in the kernel that lead into an interface
	Pending    int // wait for an interface that does not exist or is down, or for a source, or for a look at the kernel, or are being written
	Errors     int // could not be added, or are not wanted and could not be removed
	Pending6   int // of Pending, those of IPv6
	Errors6    int // of Errors, those of IPv6
}

// Apply takes note of what is wanted from now on of some prefixes. It costs what changes,
// whatever the number of other prefixes.
func (f *FIB) Apply(changes ...Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		f.applyChangeLocked(c)
	}
}

func (f *FIB) applyChangeLocked(c Change) {
	if c.Prefix != c.Prefix.Masked() || !c.Prefix.IsValid() || c.Prefix.Addr().Is4In6() {
		delete(f.failed, c.Prefix)
		if len(c.Ways) > 0 || c.Unreachable {
			f.failed[c.Prefix] = []failure{{op: "add", name: namesOf(c.Ways), err: errPrefix}}
		}
		f.signal()
		return
	}
	e := f.pic.entry(c.Prefix)
	before := e.want
	f.wantLocked(e, c.Ways)
	if e.want != before || e.below != c.Unreachable {
		e.below = c.Unreachable
		f.queueLocked(e)
	}
	f.pic.tidy(e)
}

// wantLocked changes the set of a prefix.
func (f *FIB) wantLocked(e *entry, ways []Way) {
	var next uint32
	if len(ways) > 0 {
		next = f.sets.find(ways).number
	}
	if next == e.want {
		return
	}
	fam, before := e.key.family(), e.want
	e.want = next
	if next != 0 {
		of := f.sets.list[next]
		if of.refs[fam]++; of.refs[fam] == 1 && of.hasSeveral() {
			f.objects.dirty = true
		}
	}
	if before != 0 {
		of := f.sets.list[before]
		of.refs[fam]--
		f.sets.release(of)
	}
	if e.state == stateNone && next != 0 {
		f.pic.setState(e, statePending)
	}
}

// SetHop says what is known of an interface beside what the kernel knows. That an
// interface is down is one message to the kernel, whatever the number of prefixes. That one can be used
// again, or has another weight, is one for each family and set of several hops, or two for each route where
// there are thousands and the kernel would send an event for each (move.go).
func (f *FIB) SetHop(name string, h Hop) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.sets.hops[name]
	if h == before {
		return
	}
	f.sets.hops[name] = h
	if h == (Hop{}) {
		delete(f.sets.hops, name)
	}
	f.objects.dirty = true
	f.signal()
	if h.Down != before.Down {
		f.queueWantersLocked(maps.Keys(f.sets.using(name)), func(of *set) bool { return !of.hasSeveral() || f.noObjects })
	}
}

// SetLate says whether the ways of a neighbor carry nothing, as those in reserve, while another way of their
// prefix can be used. It costs what SetHop does.
func (f *FIB) SetLate(neighbor string, late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sets.late[neighbor] == late {
		return
	}
	if delete(f.sets.late, neighbor); late {
		f.sets.late[neighbor] = true
	}
	f.objects.dirty = true
	f.signal()
	if f.noObjects { // each prefix has a route of its own
		f.queueWantersLocked(maps.Values(f.sets.all), func(of *set) bool {
			return of.hasSeveral() && slices.ContainsFunc(of.ways, func(w Way) bool { return w.Neighbor == neighbor })
		})
	}
}

// SetSources changes the preferred sources of routes, each where Config says none:
// zero is the kernel's choice. The routes are rewritten, and no prefix is
// without a route meanwhile. While the kernel does not have an address (any more) the
// routes that are to prefer it are pending.
func (f *FIB) SetSources(v4, v6 netip.Addr) error {
	f.sending.Lock()
	defer f.sending.Unlock()
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
		changed := [2]bool{next.Source4 != f.cfg.Source4, next.Source6 != f.cfg.Source6}
		f.cfg = next
		f.sourcesChangedLocked(changed)
	}
	return nil
}

// sourcesChangedLocked looks again at all prefixes of the families whose source has
// changed. The picture tells sources apart by what is configured: what was ours is
// another's now, and what was another's may be ours, which only the kernel can say.
func (f *FIB) sourcesChangedLocked(changed [2]bool) {
	for e := range f.pic.entries.all() {
		if !changed[e.key.family()] {
			continue
		}
		f.pic.edit(e, func(n *node) {
			switch n.src {
			case sourceOurs:
				n.src = sourceOther
			case sourceOther:
				f.pic.stale = true
			}
		})
		f.queueLocked(e)
	}
	if f.pic.stale {
		f.dropSourcesLocked()
	}
	f.signal()
}

// dropSourcesLocked forgets the routes with sources that are not known to be other than
// the configured one: the look that follows finds them.
func (f *FIB) dropSourcesLocked() {
	for e := range f.pic.entries.all() {
		if f.pic.removeIf(e, func(n node) bool { return n.src == sourceOther }) {
			f.queueLocked(e)
		}
	}
}

// Status returns what has become of the wanted routes. If routes failed the error is an
// *[Error] that says why; any other error means that the kernel could not be asked.
// Every error heals by itself while Run runs.
func (f *FIB) Status() (Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &f.pic.counts
	r := Result{Installed4: c[0][stateInstalled], Installed6: c[1][stateInstalled], Pending: c[0][statePending] + c[1][statePending], Pending6: c[1][statePending]}
	if f.broken != nil {
		return r, f.broken
	}
	var all failures
	for prefix, failed := range f.failed {
		for _, one := range failed {
			all.add(one.op, prefix, one.name, one.err)
		}
		if prefix.Addr().Is6() {
			r.Errors6 += len(failed)
		}
	}
	r.Errors = all.total
	return r, all.err()
}

// Flush writes what is wanted, as far as that can be done now, and returns Status. It looks at
// the kernel at once where Run would wait for some time after the last look. Its error is also that ctx ended, in which case what was done so far stays.
func (f *FIB) Flush(ctx context.Context) (Result, error) {
	f.writing.Lock()
	err := f.write(ctx, true)
	f.writing.Unlock()
	r, failed := f.Status()
	if err == nil {
		err = failed
	}
	return r, err
}

// Unreachable looks at the kernel, and returns the owned routes that lead nowhere, as changes that keep them.
func (f *FIB) Unreachable(ctx context.Context) (all []Change, err error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refreshLocked(ctx); err != nil {
		return nil, err
	}
	for e := range f.pic.entries.all() {
		for h := range f.pic.routes(e) {
			if h.typ == unix.RTN_UNREACHABLE {
				all = append(all, Change{Prefix: e.key.prefix(), Unreachable: true})
			}
		}
	}
	return all, nil
}

// Cleanup makes what it is told to keep all that is wanted, and removes every other owned
// route and object; it ends with a look at the kernel, of which nothing is left that
// it does not know. It is for the start, to clear what a killed daemon has left, and for the
// stop.
func (f *FIB) Cleanup(ctx context.Context, keep ...Change) error {
	f.mu.Lock()
	for e := range f.pic.entries.all() {
		if !e.isGone() {
			f.wantLocked(e, nil)
			e.below = false
			f.queueLocked(e)
		}
	}
	clear(f.failed)
	for _, c := range keep {
		f.applyChangeLocked(c)
	}
	again := !f.pic.stale // else the first look is to come
	f.mu.Unlock()
	_, err := f.Flush(ctx)
	if !again || ctx.Err() != nil {
		return err
	}
	f.mu.Lock()
	f.pic.stale = true
	f.mu.Unlock()
	_, err = f.Flush(ctx)
	return err
}
