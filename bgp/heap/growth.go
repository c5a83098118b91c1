package heap

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// By how many percent the heap of a process that has no large table may grow before garbage is
// collected, and of one that has (runtime/debug.SetGCPercent). A process that idles makes little garbage, and what
// the heap may grow by is memory that it keeps all the same: of a thousand idle tunnels a quarter of
// theirs.
const (
	SmallGrowth = 50
	LargeGrowth = 100
)

// Growth returns what is to count with so many prefixes, where now counts.
func Growth(now, prefixes int) int {
	switch {
	case prefixes >= LargeTable:
		return LargeGrowth
	case prefixes < LargeTable/2:
		return SmallGrowth
	}
	return now
}

const (
	// restInterval is how often Rest looks. A process is busy that has allocated, since the last look, an
	// eighth of its heap and restLeast more, in bytes.
	restInterval = 5 * time.Second
	restPart     = 8
	restLeast    = 1 << 20
	// restMost is how much memory the heap may hold for it, in bytes, objects and what is free together: to collect
	// more takes long, and to free hundreds of megabytes at once keeps goroutines waiting (see
	// [Releaser.Gentle]). Of more the runtime gives back a little at a time, and Rest what is left then.
	restMost = 64 << 20
	// stackRounds is how many collections there are before: each halves the stacks that goroutines
	// have needed in a handshake and do not need any more.
	stackRounds = 2
)

// Rest gives the system back what is not in use each time when the process has come to rest,
// after its start first of all: what a start or many sessions at once take the runtime would keep for minutes. It
// works until ctx is done.
func Rest(ctx context.Context) {
	tick := time.NewTicker(restInterval)
	defer tick.Stop()
	r := rests{busy: true, before: allocated()}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !r.due(allocated()) {
			continue
		}
		for range stackRounds {
			runtime.GC()
		}
		debug.FreeOSMemory()
		r.before = allocated()
	}
}

// rests tells when a process has come to rest.
type rests struct {
	busy   bool // and nothing was given back since
	before allocation
}

// due takes what is allocated now, and reports whether it is time to give memory back: once each time after
// the process was busy, when it is calm and its heap is small enough.
func (r *rests) due(now allocation) bool {
	calm := now.calmSince(r.before)
	r.before = now
	due := r.busy && calm && now.held() <= restMost
	r.busy = !calm || r.busy && !due
	return due
}

// allocation is what the heap has in it, what else it holds of the system's memory, and what was ever allocated there,
// in bytes.
type allocation struct{ size, spare, ever uint64 }

// allocated asks the runtime, which stops nothing for it.
func allocated() allocation {
	s := [...]metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(s[:])
	return allocation{size: s[0].Value.Uint64(), ever: s[1].Value.Uint64(), spare: s[2].Value.Uint64() + s[3].Value.Uint64()}
}

// held is the most that can be freed.
func (a allocation) held() uint64 { return a.size + a.spare }

// calmSince reports whether little was allocated since before.
func (a allocation) calmSince(before allocation) bool {
	return a.ever-before.ever < a.size/restPart+restLeast
}
