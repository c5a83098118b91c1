package tlslink

import (
	"sync"
	"time"
)

// oldFormAfter is how long a peer that once knew the present form of a TLS handshake has
// to refuse it until it is shown the old one.
const oldFormAfter = time.Minute

// form is in which form a peer takes a TLS handshake. The old one shows the underlay
// what is spoken, and a name that never changes; and somebody on the path can pretend
// that the peer wants that. So it is shown to a peer that has not yet taken the
// present one, or not for a while, as after a return to an older version. It may be
// used from any goroutine.
type form struct {
	mu      sync.Mutex
	known   bool      // the peer has taken the present one
	refused time.Time // since when it does not; zero: it does
}

func (f *form) isNew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known, f.refused = true, time.Time{}
}

func (f *form) isOld() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = false
}

// mayBeOld is called when the present form was refused, and reports whether the old one
// may be tried.
func (f *form) mayBeOld(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused.IsZero() {
		f.refused = now
	}
	return !f.known || now.Sub(f.refused) >= oldFormAfter
}
