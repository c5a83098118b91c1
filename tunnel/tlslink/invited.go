package tlslink

import (
	"bytes"
	"errors"

	"warren/tunnel"
)

// errInvitationInUse is what a router is told that comes with an invitation while another is here with it.
var errInvitationInUse = errors.New("this invitation was used by another router just now")

// errInvitationUsed is for the end that joined. Which of these it is a router that does not know the invitation
// any more cannot say.
var errInvitationUsed = errors.New("the inviting router does not know the invitation: this invitation was used by another router, " +
	"or its term is over, or it was taken back; ask for another one")

// isInvited reports whether one of the credentials is of an invitation that this end has so.
func isInvited(creds []*credential, as tunnel.Invited) bool {
	return creds[len(creds)-1].invited == as
}

// meets tells of a step.
func (l *Link) meets(m tunnel.Meeting) {
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
	if s.invited == tunnel.Inviting && s.peer.flags&flagLearns != 0 {
		l.meets(tunnel.Meeting{Kind: tunnel.MeetingBegun})
	}
}

// isAnothers reports whether a connection uses an invitation by which another router is here now. If it is the same one, that
// was restarted, it comes in when its session is found to be dead.
func (l *Link) isAnothers(in *incoming) bool {
	s := l.session
	return s != nil && s.invited == tunnel.Inviting && in.wire.proof.cred.invited == tunnel.Inviting && in.hello.instance != s.peer.instance
}

// tellSecret tells the peer the secret that replaces the invitation's, once there is one that was not there when
// the session began.
func (l *Link) tellSecret() {
	s, first := l.session, l.credentials()[0]
	if s.told || first.keys == nil || first.invited != 0 || first.keys.serverName == s.known ||
		s.lanes[0].wire.proof.cred.invited != tunnel.Inviting || s.peer.flags&flagLearns == 0 {
		return
	}
	select {
	case s.control <- encode(frameSecret, first.secret):
		s.told = true
	default: // at the next look
	}
}

// learn takes the secret that the peer tells. It counts only on a connection of the invitation, at the end
// that joined, and once in a session, as tellSecret does it: each is written to the disk.
func (ln *lane) learn(secret []byte) {
	if ln.wire.proof.cred.invited == tunnel.Joined && ln.s.learned.CompareAndSwap(false, true) {
		ln.s.link.meets(tunnel.Meeting{Kind: tunnel.MeetingTold, Secret: bytes.Clone(secret)})
	}
}

// noteMet is called at each look, with the place of the secret that is used last in their order.
func (l *Link) noteMet(place int) {
	s, creds := l.session, l.credentials()
	if place != 1 || len(creds) < 2 || creds[len(creds)-1].invited == 0 || s.met == creds[0] {
		return
	}
	s.met = creds[0]
	l.meets(tunnel.Meeting{Kind: tunnel.MeetingOver, Secret: creds[0].secret})
}
