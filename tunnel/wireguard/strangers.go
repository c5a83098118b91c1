package wireguard

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/report"
	"warren/tunnel/wireguard/protocol"
)

// Bounds on the log lines about strangers, who may forge where they are.
const (
	strangerInterval = time.Minute // between lines about one stranger
	maxStrangers     = 32          // lines in that time, and
	maxKeysOfHost    = 4           // about one host
)

// strangers tells the operator of handshakes that are of no peer, or not for this
// router: the protocol says nothing to who sends them, so that where a key is wrong in a
// config this is all that can be seen of it. It may be used from any goroutine.
type strangers struct {
	log *slog.Logger
	own func() protocol.PublicKey // of this router

	refusals report.Refusals

	mu   sync.Mutex
	told map[strangerAt]time.Time
}

// strangerAt is a stranger who claims a key, or one who wants somebody else.
type strangerAt struct {
	from netip.Addr
	key  protocol.PublicKey
}

const textOtherKey = "its handshake is for another key than this router's: if it is a peer, it has another secret or link than this end, or a wrong public_key for this router"

// note takes why a datagram was ignored.
func (s *strangers) note(now time.Time, from netip.AddrPort, err error) {
	var stranger *protocol.StrangerError
	switch {
	case errors.As(err, &stranger):
		s.refusals.Note(now, from.Addr(), fmt.Sprintf(
			"no peer here has its key %v: if it is a peer, public_key in its file here is wrong", stranger.PublicKey), false)
		if s.mayTell(now, strangerAt{from.Addr(), stranger.PublicKey}) {
			s.log.Warn("a stranger began a handshake: if this is a peer, its public_key in its file here is wrong",
				"remote", from, "public_key", stranger.PublicKey)
		}
	case errors.Is(err, protocol.ErrInvitationUsed):
		s.noteUsed(now, from)
	case errors.Is(err, protocol.ErrOtherKey):
		s.refusals.Note(now, from.Addr(), textOtherKey, false)
		if s.mayTell(now, strangerAt{from: from.Addr()}) {
			s.log.Warn("a handshake came that is not for this router: if it is a peer's, the peer has a wrong public_key for this router, or another secret or link",
				"remote", from, "own_public_key", s.own())
		}
	}
}

// Refusals returns who began a handshake in vain since a moment, the latest first.
func (e *Endpoint) Refusals(since time.Time) []tunnel.Refusal {
	return e.strangers.refusals.List(since)
}

// mayTell reports whether a line is due.
func (s *strangers) mayTell(now time.Time, who strangerAt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.told[who]; ok && now.Sub(last) < strangerInterval {
		return false
	}
	maps.DeleteFunc(s.told, func(_ strangerAt, last time.Time) bool { return now.Sub(last) >= strangerInterval })
	ofHost := 0
	for other := range s.told {
		if other.from == who.from {
			ofHost++
		}
	}
	if len(s.told) >= maxStrangers || ofHost >= maxKeysOfHost {
		return false
	}
	if s.told == nil {
		s.told = make(map[strangerAt]time.Time)
	}
	s.told[who] = now
	return true
}
