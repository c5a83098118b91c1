package tlslink

import (
	"errors"

	"warren/tunnel"
)

// Where two routers have several tunnels, the end that loses its way by one of them tells the other end by those that are
// left, which would find out by the silence alone:
//
//  1. The end whose session ends for that reason says so to who owns the tunnels ([LinkConfig.Lost]), with the session's ID.
//  2. That tells the peer by each other tunnel ([Link.TellLost], frameLost).
//  3. There [LinkConfig.PeerLost] says so to the other owner of tunnels, which tells those of the same peer ([Link.TakeLost]).
//  4. The link that has the session ends it, and dials, or is dialed, as after any other end.
//
// The ID is random and known to the two ends of the session alone, so that a peer can end what it could end anyway. If the line
// works, both ends find the connection closed and make the next one at once.

// TellLost tells the peer that this end has no way to it any more by another tunnel of theirs, or another transport of this one.
// A peer that would not understand that, or has no session, is told nothing. It may be called from any goroutine, and does not
// block.
func (l *Link) TellLost(id tunnel.SessionID) {
	if ln := l.routes[0].Load(); ln != nil && ln.s.peer.flags&flagTakesLost != 0 {
		ln.s.enqueue(encode(frameLost, id[:]))
	}
}

// TakeLost ends the session with that ID, if it is this tunnel's, as its peer has no way to this end by it any more. It may be called
// from any goroutine, and does not block.
func (l *Link) TakeLost(id tunnel.SessionID) {
	if ln := l.routes[0].Load(); ln != nil && ln.s.id == id {
		ln.s.fail(tunnel.ErrPeerLost)
	}
}

// peerLost passes on what the peer says of another tunnel. It is for the goroutines that receive.
func (l *Link) peerLost(payload []byte) {
	if l.cfg.PeerLost != nil && l.lost.Take(l.e.cfg.Now()) {
		l.cfg.PeerLost(tunnel.SessionID(payload))
	}
}

// sayLost says of a session that has ended that it was for want of a way, if so.
func (l *Link) sayLost(s *session, reason error) {
	if lost := (*lostWay)(nil); errors.As(reason, &lost) && l.cfg.Lost != nil {
		l.cfg.Lost(s.id)
	}
}
