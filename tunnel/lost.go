package tunnel

import (
	"errors"
	"sync"
	"time"
)

// SessionID names what carries a tunnel, so that both ends mean the same by it: over TLS the session, over WireGuard the
// pair of keys. Only the two ends know it, or can guess it.
type SessionID [16]byte

// ErrPeerLost is why a tunnel is down whose peer has said, over another tunnel with the same peer, that it cannot send by
// this one any more. It is the peer's word alone: the tunnel comes up again as soon as the peer is heard by it.
var ErrPeerLost = errors.New("the peer has no way to this router by this tunnel any more, as it says over another one")

// Losses bounds how often a peer is believed that it has lost tunnels. Its zero value is ready. It may be used from any goroutine.
type Losses struct {
	mu    sync.Mutex
	since time.Time
	taken int
}

// Of what a peer says of lost tunnels at most lossesOf are taken in any lossesIn. It has few tunnels, and each takes longer than
// that to come back.
const (
	lossesOf = 16
	lossesIn = time.Second
)

// Take reports whether one more may be taken.
func (l *Losses) Take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() || now.Sub(l.since) >= lossesIn {
		l.since, l.taken = now, 0
	}
	l.taken++
	return l.taken <= lossesOf
}
