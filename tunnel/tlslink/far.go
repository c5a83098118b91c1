package tlslink

import (
	"sync/atomic"
	"time"
)

// far is whether the peer may be so far away that its answer to a SYN takes longer than connect_timeout, which is
// for peers that are not there. The zero value is ready; it may be used from any goroutine.
type far struct {
	late atomic.Int32 // attempts in a row that got no answer in time
}

// farAfter is how many attempts get no answer before the next ones wait for longer. It keeps the pauses between SYNs
// short where a peer was away for a moment only.
const farAfter = 2

// connectTimeout returns how long an attempt waits for TCP, where connect_timeout is set to something.
func (f *far) connectTimeout(set time.Duration) time.Duration {
	if f.late.Load() < farAfter {
		return set
	}
	// What takes longer than that gets no further than the handshake.
	return max(set, handshakeTimeout)
}

// connected takes note of what came of an attempt.
func (f *far) connected(err error) {
	switch {
	case err == nil:
		f.late.Store(0)
	case isTimeout(err):
		f.late.Add(1)
	}
}
