package engine

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// GoBGP stays in Idle for 5 s after a session or a connection has failed, by a
// constant; a neighbor that is added leaves Idle at once. So a neighbor whose
// session failed is deleted and added again, soon at first and then after twice
// the time each time, until GoBGP's own 5 s are the shorter wait: the damping
// that RFC 4271 8.1.1 calls DampPeerOscillations. A peer that refuses sessions
// gets the 5 s each time.
const (
	restartDelay = 200 * time.Millisecond
	maxRestarts  = 5                // 200 ms, 400 ms, 800 ms, 1.6 s, 3.2 s
	steadyAfter  = 10 * time.Second // a session that lasts clears the account
)

// restartAfter decides what follows on a session's or a connection's end: how
// long after it the neighbor is started anew, or false if GoBGP's own pause is
// to pass.
func (ss *session) restartAfter(wasEstablished bool, lasted time.Duration, reason api.PeerState_DisconnectReason, message string) (time.Duration, bool) {
	if wasEstablished && lasted >= steadyAfter {
		ss.failures = 0
	}
	if ss.disabled { // GoBGP would pause for ever
		ss.failures = min(ss.failures, maxRestarts-1)
	} else if ss.failures >= maxRestarts || !wasEstablished && refuses(reason, message) {
		return 0, false
	}
	ss.failures++
	return restartDelay << (ss.failures - 1), true
}

// refuses reports whether a session did not come up because one end's
// configuration does not suit the other. A Cease is not of that kind: the peer
// may only be busy with the remains of the last session.
func refuses(reason api.PeerState_DisconnectReason, message string) bool {
	switch reason {
	case api.PeerState_DISCONNECT_REASON_BAD_PEER_AS, api.PeerState_DISCONNECT_REASON_INVALID_MSG,
		api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT:
		return true
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED:
		return !strings.Contains(message, "code 6(")
	default:
		return false
	}
}

// restart gives n a new start in GoBGP after a delay, if it is still Idle then.
func (s *Speaker) restart(n *neighbor, delay time.Duration) {
	select {
	case <-time.After(delay):
	case <-n.ctx.Done():
		return
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	due := n.ctx.Err() == nil && n.session.state == stateIdle && s.neighbors[n.Name] == n
	n.session.disabled = n.session.disabled && !due
	s.mu.Unlock()
	if !due {
		return
	}
	err := s.server.DeletePeer(s.ctx, &api.DeletePeerRequest{Address: n.PeerAddr.String()})
	err = errors.Join(err, s.server.AddPeer(s.ctx, &api.AddPeerRequest{Peer: s.apiPeer(n)}))
	if err != nil && s.ctx.Err() == nil {
		s.log.Error("BGP neighbor not started again", slog.String("peer", n.Name), slog.Any("err", err))
	}
}

// pause waits for d and reports whether ctx is still good then.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// endCurrent ends what n has, and waits until it has ended. What follows on the
// end of any connection then follows on this one's.
func (s *Speaker) endCurrent(n *neighbor) {
	had := s.connection(n)
	if had.conn == nil {
		return // it has ended by itself meanwhile
	}
	s.mu.Lock()
	if had.state == stateEstablished && n.session.conn == had.conn {
		n.setProblem(told, "the peer opened a new session: it had lost this one")
	}
	below := n.session.conn != had.conn || had.state == stateEstablished && had.conn.retains()
	s.mu.Unlock()
	if below { // of GoBGP's session, which goes on
		had.conn.hangUp()
	} else {
		// Not from here: close waits for this goroutine and holds opMu.
		s.work.Go(func() {
			s.disable(n, func(ss *session) bool { return ss.conn == had.conn && ss.state == had.state })
		})
	}
	for range readyTries {
		if now := s.connection(n); now.conn != had.conn || !pause(n.ctx, readyInterval) {
			return
		}
	}
}

// disable ends what n has if still reports that it is what is to end, and leaves n in GoBGP's
// administrative down, out of which restart brings it: no restart can be between
// the look at the state and DisablePeer, and one is sure to follow, as GoBGP has still to
// tell that n is Idle. (GoBGP's reset would not do: if it finds no session any more, it
// ends the next one.) Policies may be written for seconds before it is its turn, so whatever the
// caller has seen may have become a session that is up: still is asked when nothing else can be written. mu is held then.
func (s *Speaker) disable(n *neighbor, still func(*session) bool) {
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	due := n.ctx.Err() == nil && n.session.state != stateIdle && s.neighbors[n.Name] == n && still(&n.session)
	n.session.disabled = n.session.disabled || due
	s.mu.Unlock()
	if !due {
		return
	}
	err := s.server.DisablePeer(s.ctx, &api.DisablePeerRequest{Address: n.PeerAddr.String()})
	if err != nil && s.ctx.Err() == nil {
		s.log.Error("BGP session not ended", slog.String("peer", n.Name), slog.Any("err", err))
	}
}

// openSentTime and openConfirmTime are how long a peer may take, on a connection that is there, to its OPEN and from
// that to its KEEPALIVE, each of which it sends at once.
const (
	openSentTime    = 10 * time.Second
	openConfirmTime = 4 * time.Second
)

// watchOpen gives n a new start if it does not get out of OpenSent or OpenConfirm, as GoBGP's hold timers last much
// longer there. In OpenSent a connection that this end has made may be dead without being closed, as that to a router
// that hung and was then switched off: it would keep out those that the peer makes afterwards (collide). In
// OpenConfirm the peer may have settled for another connection that has not arrived here.
func (s *Speaker) watchOpen(n *neighbor, state string, since time.Time) {
	patience := openSentTime
	if state == stateOpenConfirm {
		patience = openConfirmTime
	}
	if !pause(n.ctx, n.patience(patience)) {
		return
	}
	s.endStuck(n, state, since)
}

// endStuck does that if n is still in the state in which it was since then.
func (s *Speaker) endStuck(n *neighbor, state string, since time.Time) {
	s.mu.Lock()
	stuck := n.session.isStuck(state, since)
	conn := n.session.conn
	if stuck && state == stateOpenSent && conn != nil { // else it has ended, and why is told
		if conn.dialed {
			n.setProblem(told, "the peer takes connections on TCP port %d and says nothing on them: does its BGP hang?", s.port)
		} else {
			n.setProblem(told, "the peer has opened a connection and says nothing on it: does its BGP hang?")
		}
	}
	s.mu.Unlock()
	if stuck {
		s.disable(n, func(ss *session) bool { return ss.isStuck(state, since) })
	}
}

// isStuck reports whether what is awaited in the state, OpenSent or OpenConfirm, has not come since. What GoBGP tells of the
// session may be late by seconds, when it is busy with a large table: so the connection itself says it. Speaker.mu is held.
func (ss *session) isStuck(state string, since time.Time) bool {
	if ss.state != state || !ss.since.Equal(since) {
		return false
	}
	conn := ss.conn
	return conn == nil || state == stateOpenSent && !conn.opened() || state == stateOpenConfirm && !conn.established()
}
