package tlslink

import (
	"bytes"
	"errors"
)

// Invited says of a secret that the two ends are to replace it, as it was handed over in the open.
type Invited int

// The ends of an invitation; the zero Invited is an ordinary secret.
const (
	Inviting Invited = iota + 1 // this end makes the secret that replaces it
	Joined                      // this end is told that by the peer
)

// MeetingKind is a step in which the two ends replace the secret of an invitation.
type MeetingKind int

// The steps, which begin again with each session:
//
//  1. At the inviting end a session has begun with the invitation's secret: MeetingBegun. Whoever uses the
//     package makes a secret, stores it, and puts it before the invitation's by [Link.SetTrust]. One that was
//     made in a session before is replaced, as another router may have it.
//  2. The link tells the peer (frameSecret).
//  3. There it is MeetingTold. It is stored, and put before the invitation's by SetTrust. So new connections
//     are made with it.
//  4. When all connections of the session are, it is MeetingOver at both ends: the peer has stored it. Then
//     SetTrust takes the invitation's secret away.
//
// At each moment what the one end would offer is known to the other.
const (
	MeetingBegun MeetingKind = iota + 1
	MeetingTold
	MeetingOver
)

// Meeting is a step of a link whose last secret is of an invitation.
type Meeting struct {
	Kind   MeetingKind
	Secret []byte // SecretLen bytes; of MeetingTold what the peer said, of MeetingOver what is used
}

// errInvitationInUse is what a router is told that comes with an invitation while another is here with it.
var errInvitationInUse = errors.New("this invitation was used by another router just now")

// errInvitationUsed is for the end that joined. Which of these it is a router that does not know the invitation
// any more cannot say.
var errInvitationUsed = errors.New("the inviting router does not know the invitation: this invitation was used by another router, " +
	"or its term is over, or it was taken back; ask for another one")

// isInvited reports whether one of the credentials is of an invitation that this end has so.
func isInvited(creds []*credential, as Invited) bool {
	return creds[len(creds)-1].invited == as
}

// meets tells of a step.
func (l *Link) meets(m Meeting) {
	if l.cfg.Meetings != nil {
		l.cfg.Meetings(m)
	}
}

// meet is called when a session begins.
func (l *Link) meet(s *session) {
	first := l.credentials()[0]
	if first.keys != nil {
		s.known = first.keys.serverName
	}
	s.invited = s.lanes[0].wire.proof.cred.invited
	if s.invited == Inviting && s.peer.flags&flagLearns != 0 {
		l.meets(Meeting{Kind: MeetingBegun})
	}
}

// isAnothers reports whether a connection uses an invitation by which another router is here now. If it is the same one, that
// was restarted, it comes in when its session is found to be dead.
func (l *Link) isAnothers(in *incoming) bool {
	s := l.session
	return s != nil && s.invited == Inviting && in.wire.proof.cred.invited == Inviting && in.hello.instance != s.peer.instance
}

// tellSecret tells the peer the secret that replaces the invitation's, once there is one that was not there when
// the session began.
func (l *Link) tellSecret() {
	s, first := l.session, l.credentials()[0]
	if s.told || first.keys == nil || first.invited != 0 || first.keys.serverName == s.known ||
		s.lanes[0].wire.proof.cred.invited != Inviting || s.peer.flags&flagLearns == 0 {
		return
	}
	select {
	case s.control <- encode(frameSecret, first.secret):
		s.told = true
	default: // at the next look
	}
}

// learn takes the secret that the peer tells. It counts only on a connection of the invitation, at the end
// that joined.
func (ln *lane) learn(secret []byte) {
	if ln.wire.proof.cred.invited == Joined {
		ln.s.link.meets(Meeting{Kind: MeetingTold, Secret: bytes.Clone(secret)})
	}
}

// noteMet is called at each look, with the place of the secret that is used last in their order.
func (l *Link) noteMet(place int) {
	s, creds := l.session, l.credentials()
	if place != 1 || len(creds) < 2 || creds[len(creds)-1].invited == 0 || s.met == creds[0] {
		return
	}
	s.met = creds[0]
	l.meets(Meeting{Kind: MeetingOver, Secret: creds[0].secret})
}
