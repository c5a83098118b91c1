package wireguard

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

const (
	answerTime = 5 * time.Second  // after which the protocol tries again
	hintTime   = 15 * time.Second // that what was seen of a handshake is of interest
	// suspicionTime is how long is told what is wrong with who has the peer's key.
	suspicionTime = 3 * time.Minute
	manyUnused    = 2 // answers that the peer did not use; one may have been lost
)

// diagnose notes why there is no session, as far as this end can tell: who has not the
// right keys gets no answer from the other.
func (l *Link) diagnose(now time.Time) {
	s := l.peer.Status(now)
	l.suspect(now, &s)
	if l.isUp() || l.unsent != nil {
		return
	}
	switch {
	case isRefused(now, &s):
		l.fail(errInvitationUsed)
	case !s.Unopened.IsZero() && now.Sub(s.Unopened) < hintTime:
		l.fail(fmt.Errorf("%s has another preshared key: preshared_key_file must hold the same at both ends, or be absent at both", s.Endpoint))
	case s.Unused >= manyUnused && now.Sub(s.Heard) < hintTime:
		l.fail(errors.New("the peer begins handshakes and does not take our answers: do they reach it, and is the preshared key the same at both ends?"))
	case l.suspected != "":
	case !l.calling.IsZero() && now.Sub(l.calling) >= answerTime && s.Heard.Before(l.calling):
		l.fail(l.noAnswer(s.Endpoint))
	}
}

// suspicion is what is wrong with who has the peer's key, and may be so while the tunnel is
// up; "" is nothing. It is the same for as long as it lasts.
func (l *Link) suspicion(now time.Time, s *protocol.Status) string {
	switch {
	case s.Twin.IsValid() && now.Sub(s.TwinHeard) < suspicionTime:
		return fmt.Sprintf("somebody else has this peer's key, at %s, and is refused while %s is connected: give each router a key of its own",
			s.Twin, s.Endpoint)
	case !s.Stale.IsZero() && now.Sub(s.Stale) < suspicionTime:
		if l.behind == 0 { // the difference shrinks with every try
			l.behind = max(time.Second, s.Behind.Round(time.Second))
		}
		return fmt.Sprintf("the peer's clock is behind by %v of what it was at an earlier handshake, "+
			"or somebody repeats its old ones: they are refused until that time, and this end begins them", l.behind)
	}
	l.behind = 0
	return ""
}

// suspect tells of it.
func (l *Link) suspect(now time.Time, s *protocol.Status) {
	why := l.suspicion(now, s)
	if why == "" {
		if l.suspected != "" && l.report.Status().LastError == l.suspected {
			l.report.SetError("")
		}
	} else {
		l.report.SetError(why)
		if why != l.suspected {
			l.log.Warn("a handshake with the peer's key was refused", "err", why)
		}
	}
	l.suspected = why
}

func (l *Link) noAnswer(last netip.AddrPort) error {
	from := last.String()
	if len(l.cfg.Remotes) > 0 {
		from = strings.Join(l.cfg.Remotes, ", ")
	}
	if l.known[len(l.known)-1].Invited == tunnel.Joined {
		return noInvitation(from)
	}
	if l.known[0].PrivateKey != (protocol.PrivateKey{}) {
		return fmt.Errorf("no answer from %s: is this UDP port of the peer's reachable, and are secret_file and link the same at both ends?", from)
	}
	return fmt.Errorf("no answer from %s: is this UDP port of the peer's reachable, is public_key the peer's, and does the peer know this router by %v?",
		from, l.peer.LocalPublicKey())
}
