package wireguard

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"warren/tunnel/wireguard/protocol"
)

const (
	answerTime = 5 * time.Second  // after which the protocol tries again
	hintTime   = 15 * time.Second // that what was seen of a handshake is of interest
	manyUnused = 2                // answers that the peer did not use; one may have been lost
)

// diagnose notes why there is no session, as far as this end can tell: who has not the
// right keys gets no answer from the other.
func (l *Link) diagnose(now time.Time) {
	if l.up.Load() || l.unsent != nil {
		return
	}
	switch s := l.peer.Status(now); {
	case !s.Unopened.IsZero() && now.Sub(s.Unopened) < hintTime:
		l.fail(fmt.Errorf("%s has another preshared key: preshared_key_file must hold the same at both ends, or be absent at both", s.Endpoint))
	case s.Unused >= manyUnused && now.Sub(s.Heard) < hintTime:
		l.fail(errors.New("the peer begins handshakes and does not take our answers: do they reach it, and is the preshared key the same at both ends?"))
	case !l.initiated.IsZero() && now.Sub(l.initiated) >= answerTime && s.Heard.Before(l.initiated):
		l.fail(l.noAnswer(s.Endpoint))
	}
}

func (l *Link) noAnswer(last netip.AddrPort) error {
	from := last.String()
	if len(l.cfg.Remotes) > 0 {
		from = strings.Join(l.cfg.Remotes, ", ")
	}
	if l.cfg.PrivateKey != (protocol.PrivateKey{}) {
		return fmt.Errorf("no answer from %s: is this UDP port of the peer's reachable, and are secret_file and link the same at both ends?", from)
	}
	return fmt.Errorf("no answer from %s: is this UDP port of the peer's reachable, is public_key the peer's, and does the peer know this router by %v?",
		from, l.peer.LocalPublicKey())
}
