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
	s := l.peer.Status(now)
	l.compareClocks(now, &s)
	if l.up.Load() || l.unsent != nil {
		return
	}
	switch {
	case !s.Unopened.IsZero() && now.Sub(s.Unopened) < hintTime:
		l.fail(fmt.Errorf("%s has another preshared key: preshared_key_file must hold the same at both ends, or be absent at both", s.Endpoint))
	case s.Unused >= manyUnused && now.Sub(s.Heard) < hintTime:
		l.fail(errors.New("the peer begins handshakes and does not take our answers: do they reach it, and is the preshared key the same at both ends?"))
	case l.behind != "":
	case !l.initiated.IsZero() && now.Sub(l.initiated) >= answerTime && s.Heard.Before(l.initiated):
		l.fail(l.noAnswer(s.Endpoint))
	}
}

// compareClocks tells of a peer whose handshakes are refused because their timestamps go
// back, also while the tunnel is up by handshakes of this end's own.
func (l *Link) compareClocks(now time.Time, s *protocol.Status) {
	if s.Stale.IsZero() || now.Sub(s.Stale) >= protocol.RejectAfterTime {
		if l.behind != "" && l.report.Status().LastError == l.behind {
			l.report.SetError("")
		}
		l.behind = ""
		return
	}
	if l.behind == "" {
		// The same for as long as it lasts: the difference shrinks with every try.
		l.behind = fmt.Sprintf("the peer's clock is behind by %v of what it was at an earlier handshake, "+
			"or somebody repeats its old ones: they are refused until that time, and this end begins them",
			s.Behind.Round(time.Second))
		l.log.Warn("a handshake of the peer was refused", "err", l.behind)
	}
	l.report.SetError(l.behind)
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
