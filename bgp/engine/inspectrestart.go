package engine

import (
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// correct puts right what GoBGP says of a neighbor whose connection was lost, or has
// been replaced, below its session (lost.go).
func (s *Speaker) correct(p *api.Peer) {
	addr, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byAddr[addr.Unmap().WithZone("")]
	if n == nil || n.session.state != stateEstablished || p.State.SessionState != api.PeerState_SESSION_STATE_ESTABLISHED {
		return
	}
	p.State.SessionState = apiState[n.session.shown()]
	if g := p.GetGracefulRestart(); g != nil {
		g.PeerRestarting = n.session.kept != nil
	}
	t := p.GetTimers().GetState()
	switch {
	case t == nil:
	case n.session.away():
		t.Downtime = dateNow(n.session.since)
	default:
		t.Uptime = dateNow(n.session.since)
	}
}

// dateNow is the date of a time of this process by the clock as it is set now, which may be another one than
// when it was taken.
func dateNow(t time.Time) *timestamppb.Timestamp {
	now := time.Now()
	return timestamppb.New(now.Add(-now.Sub(t)))
}

// apiState is the inverse of stateName, for the states that shown has.
var apiState = map[string]api.PeerState_SessionState{
	stateIdle:        api.PeerState_SESSION_STATE_IDLE,
	stateActive:      api.PeerState_SESSION_STATE_ACTIVE,
	stateOpenSent:    api.PeerState_SESSION_STATE_OPENSENT,
	stateOpenConfirm: api.PeerState_SESSION_STATE_OPENCONFIRM,
	stateEstablished: api.PeerState_SESSION_STATE_ESTABLISHED,
}
