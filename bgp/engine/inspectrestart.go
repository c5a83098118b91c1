package engine

import (
	"net/netip"

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
		t.Downtime = timestamppb.New(n.session.since)
	default:
		t.Uptime = timestamppb.New(n.session.since)
	}
}

// apiState is the inverse of stateName, for the states that shown has.
var apiState = map[string]api.PeerState_SessionState{
	stateIdle:        api.PeerState_SESSION_STATE_IDLE,
	stateActive:      api.PeerState_SESSION_STATE_ACTIVE,
	stateOpenSent:    api.PeerState_SESSION_STATE_OPENSENT,
	stateOpenConfirm: api.PeerState_SESSION_STATE_OPENCONFIRM,
	stateEstablished: api.PeerState_SESSION_STATE_ESTABLISHED,
}
