package wireguard

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// How the two ends of an invitation replace its secret (tunnel.MeetingKind). What is WireGuard's own of it:
//
//   - Who else comes with the invitation meanwhile, or afterwards, is refused by package protocol (its invited.go).
//   - The inviting end tells the secret by a packet of its own inside the tunnel (pathmtu/secret.go), each tellEvery until
//     there is another session. It is sealed for the session that has begun when the secret before was known:
//     another router's gets another one.
//   - The end that joined then begins a handshake with it. When the session that comes of that is used by the peer too,
//     both know that it is on both disks.

// tellEvery is how soon the secret is told again: packets get lost.
const tellEvery = time.Second

// errInvitationUsed is for the end that joined.
var errInvitationUsed = errors.New("this invitation was used by another router, or by this one until just now: ask for another one if it stays so")

// meeting is how far the two ends have come. All but the channel belongs to the goroutine of Link.Run.
type meeting struct {
	told chan [SecretLen]byte // by the peer

	session time.Time       // that MeetingBegun was about, or in which heard was; zero: none
	known   [SecretLen]byte // the first of the secrets when it began
	heard   [SecretLen]byte // what MeetingTold was about in it
	again   time.Time       // when another may be heard: each is written to the disk
	sent    [SecretLen]byte // what the peer was told in it
	over    [SecretLen]byte // what MeetingOver was about in it: what it had done may have failed, and been given up when the tunnel went down
	next    time.Time       // when to tell, or to look, again; zero: not
}

// isTold takes the secret that the peer tells. It may be called from any goroutine. What is too much at once is lost, and is
// told again.
func (l *Link) isTold(secret [SecretLen]byte) {
	select {
	case l.meeting.told <- secret:
	default:
	}
	l.notify()
}

// meets tells of a step.
func (l *Link) meets(kind tunnel.MeetingKind, secret [SecretLen]byte) {
	m := tunnel.Meeting{Kind: kind}
	if kind != tunnel.MeetingBegun {
		m.Secret = secret[:]
	}
	if l.cfg.Meetings != nil {
		l.cfg.Meetings(m)
	}
}

// tryMeet does what is due. What the peer tells counts only in a session of the invitation, which this end has begun.
func (l *Link) tryMeet(now time.Time) {
	m := &l.meeting
	var told *[SecretLen]byte
	for more := true; more; {
		select {
		case secret := <-m.told:
			told = &secret
		default:
			more = false
		}
	}
	last := l.known[len(l.known)-1].Invited
	if last != tunnel.Inviting && last != tunnel.Joined || !l.isUp() {
		m.session, m.next = time.Time{}, time.Time{}
		return
	}
	s := l.peer.Status(now)
	if !s.Since.Equal(m.session) {
		m.session, m.known = s.Since, l.known[0].Secret
		m.heard, m.sent, m.over, m.next, m.again = [SecretLen]byte{}, [SecretLen]byte{}, [SecretLen]byte{}, now, now
		if s.Invited == tunnel.Inviting {
			l.meets(tunnel.MeetingBegun, m.known)
		}
	}
	first := &l.known[0]
	switch {
	case s.KeyPlace == 1 && first.Invited == 0:
		// The inviting end is the one that answers, so that the peer has used the session already. This one waits for that, and
		// has what comes in the session before until then.
		if (last == tunnel.Inviting || s.Alive) && first.Secret != m.over {
			m.over = first.Secret
			l.meets(tunnel.MeetingOver, first.Secret)
		}
	case s.Invited == tunnel.Inviting:
		l.tellSecret(now, first)
	case s.Invited == tunnel.Joined && told != nil && *told != first.Secret && *told != m.heard && !now.Before(m.again):
		m.heard, m.again = *told, now.Add(tellEvery)
		l.meets(tunnel.MeetingTold, m.heard)
	}
	if !now.Before(m.next) {
		m.next = now.Add(tellEvery)
	}
}

// tellSecret tells the peer the secret that replaces the invitation's, once there is one that was not there when the session
// began.
func (l *Link) tellSecret(now time.Time, first *Keys) {
	m := &l.meeting
	if first.Invited != 0 || first.Secret == m.known || first.Secret == m.sent && now.Before(m.next) {
		return
	}
	packet, err := pathmtu.TellSecret(first.Secret)
	if err == nil {
		err = l.sendInsideOf(now, m.session, packet)
	}
	if err != nil {
		l.log.Debug("cannot tell the secret that replaces the invitation's", "err", err)
		return
	}
	m.sent, m.next = first.Secret, now.Add(tellEvery)
}

// hasten begins a handshake with the secret that the peer has told, without waiting as long as the protocol does after the one
// before, which was with other keys: the peer waits for it, and so does what is over the tunnel.
func (l *Link) hasten(now time.Time) {
	if !l.isUp() || len(l.known) < 2 || l.known[len(l.known)-1].Invited != tunnel.Joined {
		return
	}
	if s := l.peer.Status(now); s.Established && s.KeyPlace != 1 {
		l.peer.TryAt(now, s.Endpoint)
	}
}

// sendInsideOf is sendInside for a packet that belongs into the session that was made at a time, and into no other.
func (l *Link) sendInsideOf(now, since time.Time, packet []byte) error {
	sealer, err := l.peer.SealerOf(now, since, 1)
	if err != nil {
		return err
	}
	return l.sendSealed(&sealer, packet)
}

// noInvitation says why the end that joined gets no answer.
func noInvitation(from string) error {
	return fmt.Errorf("no answer from %s: do firewalls on the way let this UDP port through? If they do, the inviting router does not know the invitation "+
		"any more, as its term is over or it was taken back: ask for another one", from)
}

// isRefused reports whether the peer has said, not long ago, that another router has used the invitation.
func isRefused(now time.Time, s *protocol.Status) bool {
	return !s.Refused.IsZero() && now.Sub(s.Refused) < suspicionTime
}

// noteUsed tells of who comes with an invitation that was used.
func (s *strangers) noteUsed(now time.Time, from netip.AddrPort) {
	s.refusals.Note(now, from.Addr(), "it comes with an invitation that another router has used", false)
	if s.mayTell(now, strangerAt{from: from.Addr()}) {
		s.log.Warn("a router came with an invitation that another one has used, and was refused", "remote", from)
	}
}
