package fib

import (
	"net/netip"
	"time"
)

// doubts are the prefixes that have a route in the place of a wanted one (the kernel answers
// EEXIST) that the picture lacks. It may be foreign, or an owned one of which the events were
// lost, or are still to come. Guarded by FIB.mu.
type doubts struct {
	open    map[netip.Prefix]struct{} // wait for a look at the kernel
	foreign map[netip.Prefix]struct{} // a look has shown no owned route
}

func newDoubts() doubts {
	return doubts{open: map[netip.Prefix]struct{}{}, foreign: map[netip.Prefix]struct{}{}}
}

func (d *doubts) forget(prefix netip.Prefix) {
	delete(d.open, prefix)
	delete(d.foreign, prefix)
}

// foreignLocked notes that the kernel has a route in the place of a wanted one, and reports
// whether it is foreign. If that is not known, a look at the kernel will tell, after
// which the prefix is written again.
func (f *FIB) foreignLocked(j *job) bool {
	j.exists = true
	if _, ok := f.doubts.foreign[j.prefix]; ok {
		return true
	}
	f.doubts.open[j.prefix] = struct{}{}
	pause := doubtShare*f.lookTook - time.Since(f.looked)
	if f.flushing || pause <= 0 {
		f.pic.stale = true
	} else {
		f.lookLocked(pause)
	}
	return false
}

// decideLocked queues the prefixes that have waited for a look: where the kernel still
// answers EEXIST then, the route is foreign.
func (f *FIB) decideLocked() {
	for prefix := range f.doubts.open {
		if e := f.pic.known(prefix); e != nil {
			f.doubts.foreign[prefix] = struct{}{}
			f.queueLocked(e)
		}
	}
	f.doubts.open = map[netip.Prefix]struct{}{}
}
