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
	// restMost is the size of the heap, in bytes, above which it is left as it is: a collection would
	// take long, and hundreds of megabytes that are freed at once would keep goroutines waiting.
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
	busy, before := true, allocated()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := allocated()
		if now.size <= restMost && busy && now.calmSince(before) {
			for range stackRounds {
				runtime.GC()
			}
			debug.FreeOSMemory()
			now = allocated()
		}
		busy = !now.calmSince(before)
		before = now
	}
}

// allocation is what the heap has in it, and what was ever allocated there, in bytes.
type allocation struct{ size, ever uint64 }

// allocated asks the runtime, which stops nothing for it.
func allocated() allocation {
	s := [...]metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s[:])
	return allocation{s[0].Value.Uint64(), s[1].Value.Uint64()}
}

// calmSince reports whether little was allocated since before.
func (a allocation) calmSince(before allocation) bool {
	return a.ever-before.ever < a.size/restPart+restLeast
}
