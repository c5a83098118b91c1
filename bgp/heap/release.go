// Package heap gives the system back the memory that a large table of routes has left.
package heap

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// LargeTable is how many prefixes make it worth the time to give their memory
// back to the system when they are gone. Tables are emptied step by step, more slowly
// on a busy machine, so that is done each interval for a while, and for as
// long as it makes a difference.
const (
	LargeTable = 20000
	interval   = 5 * time.Second
	minRounds  = 6
	maxRounds  = 60
)

// A Releaser gives memory back. The zero Releaser is ready, and safe for concurrent use.
type Releaser struct {
	// Gentle leaves it to the runtime to give back what the collector has found, a little at a
	// time. All at once, on a busy machine, it may keep every goroutine waiting for as long as
	// the kernel takes to free some hundred megabytes: for a process that carries packets too long.
	Gentle bool

	working atomic.Bool
}

// Release gives the system back, during the next half minute or longer, what is not in use. The
// runtime would keep most of it for minutes, and a machine that is short of memory kills
// the process for it meanwhile. It returns when that is done or ctx is, and at once if
// another call is at work.
func (r *Releaser) Release(ctx context.Context) {
	if !r.working.CompareAndSwap(false, true) {
		return
	}
	defer r.working.Store(false)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	for round := range maxRounds {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if r.Gentle {
			runtime.GC()
		} else {
			debug.FreeOSMemory()
		}
		before := m.HeapAlloc
		runtime.ReadMemStats(&m)
		if round >= minRounds && m.HeapAlloc > before-before/20 {
			return
		}
	}
}

// A Peak tells when a large table has lost most of its prefixes.
type Peak int

// Shrunk takes how many prefixes a table has now, and reports, once each time, that a large
// table has lost most of what it had.
func (p *Peak) Shrunk(now int) bool {
	*p = max(*p, Peak(now))
	if *p < LargeTable || Peak(now) > *p/4 {
		return false
	}
	*p = Peak(now)
	return true
}
