package bgp

import (
	"errors"
	"fmt"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// writePolicies brings GoBGP's export policies for n up to date, and has GoBGP
// apply them. opMu is held.
func (s *Speaker) writePolicies(n *neighbor) error {
	s.mu.Lock()
	want := make(map[place]rule)
	for _, f := range families4and6 {
		at := place{dirExport, f}
		want[at] = newRule(Policy{}, at)
		if hop, ok := n.nextHop(f); ok {
			r := newRule(n.Export, at)
			r.hop = hop
			want[at] = r
		}
		want[at].classes["self"] = n.ASN == s.cfg.ASN
	}
	s.mu.Unlock()
	var changed bool
	var errs []error
	for at, r := range want {
		c, err := s.policies.set(s.ctx, n.key, at, r)
		changed = changed || c
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if !changed || !s.waitEstablished(n) {
		return nil
	}
	err := s.server.ResetPeer(s.ctx, &api.ResetPeerRequest{Address: n.PeerAddr.String(), Soft: true, Direction: api.ResetPeerRequest_DIRECTION_OUT})
	if err != nil {
		return fmt.Errorf("soft reset: %w", err)
	}
	return nil
}

// waitEstablished reports whether n has a session whose routes GoBGP would
// reset. It says that a session is established a moment before it takes it for
// one itself, and a reset in that moment does nothing.
func (s *Speaker) waitEstablished(n *neighbor) bool {
	for range readyTries {
		s.mu.Lock()
		established := n.session.state == stateEstablished
		s.mu.Unlock()
		if !established {
			return false
		}
		ready := false
		err := s.server.ListPeer(s.ctx, &api.ListPeerRequest{Address: n.PeerAddr.String()}, func(p *api.Peer) {
			ready = p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED
		})
		if err != nil || ready {
			return ready
		}
		if !pause(n.ctx, time.Millisecond) {
			return false
		}
	}
	return false
}
