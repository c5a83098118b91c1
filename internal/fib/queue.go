package fib

import (
	"context"
	"maps"
	"net/netip"
)

// queueLocked has the next write look at a prefix, the entry of which stays until then.
func (f *FIB) queueLocked(e *entry) {
	switch {
	case !e.dirty:
		e.dirty = true
		f.dirty = append(f.dirty, e)
	case f.underWay: // perhaps as it was before
		f.behind = append(f.behind, e)
	}
	f.signal()
}

// queueFailedLocked has the next write try again what failed.
func (f *FIB) queueFailedLocked() {
	for prefix := range f.failed {
		f.again[prefix] = struct{}{}
	}
	for prefix := range f.again {
		if e := f.pic.known(prefix); e != nil {
			f.queueLocked(e)
		}
	}
	f.again = map[netip.Prefix]struct{}{}         // rather than one as large as it has ever been
	f.objects.stale, f.objects.dirty = true, true // a group that could not be changed is noted as if it had been
}

// prepare brings the picture and the next-hop objects up to date, and returns the prefixes
// to look at: those of which something is wanted, and those of which nothing is,
// which go last.
func (f *FIB) prepare(ctx context.Context) (wanted, gone []dirty, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refreshLocked(ctx); err != nil {
		return nil, nil, err
	}
	if err := f.objectsLocked(); err != nil {
		return nil, nil, err
	}
	f.moveSomeLocked()
	if len(f.dirty) == 0 {
		f.shrinkLocked()
		return nil, nil, f.collectLocked()
	}
	for _, e := range f.dirty {
		if e.isGone() {
			gone = append(gone, dirty{e.key, e})
		} else {
			wanted = append(wanted, dirty{e.key, e})
		}
	}
	f.dirty = nil
	return wanted, gone, nil
}

// shrinkLocked gives back the memory of prefixes if most are gone. No entry is in use.
func (f *FIB) shrinkLocked() {
	if f.pic.shrink() {
		f.failed, f.again = maps.Clone(f.failed), maps.Clone(f.again)
		f.doubts = doubts{open: maps.Clone(f.doubts.open), foreign: maps.Clone(f.doubts.foreign)}
	}
}

// dirty is an entry that is to be looked at, with its key, so that sorting looks no entry up.
type dirty struct {
	key   key
	entry *entry
}

func (d dirty) compare(other dirty) int { return d.key.compare(other.key) }
