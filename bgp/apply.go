package bgp

import (
	"errors"
	"fmt"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// writePolicies brings GoBGP's export policies for n up to date, and has GoBGP
// apply them to what it has sent. opMu is held.
func (s *Speaker) writePolicies(n *neighbor) error {
	s.mu.Lock()
	export, hops := n.Export, n.hops()
	want := make(map[place]rule)
	for _, f := range families4and6 {
		at := place{dirExport, f}
		want[at] = newRule(Policy{}, at)
		if hops[f].ok {
			r := newRule(export, at)
			r.hop = hops[f].addr
			want[at] = r
		}
		want[at].classes["self"] = n.ASN == s.cfg.ASN
	}
	s.mu.Unlock()
	var changed bool
	var errs []error
	for _, f := range families4and6 { // in order, so that the same error has the same words
		at := place{dirExport, f}
		c, err := s.policies.set(s.ctx, n.key, at, want[at])
		changed = changed || c
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	s.mu.Lock()
	n.applied.resetting = n.applied.resetting || changed
	n.applied.exported, n.applied.export, n.applied.hops = err == nil, export, hops
	reset := n.applied.resetting
	s.mu.Unlock()
	if err != nil || !reset {
		return err
	}
	// Without a session nothing was sent.
	if s.waitEstablished(n) {
		err := s.server.ResetPeer(s.ctx, &api.ResetPeerRequest{Address: n.PeerAddr.String(), Soft: true, Direction: api.ResetPeerRequest_DIRECTION_OUT})
		if err != nil {
			return fmt.Errorf("soft reset: %w", err)
		}
	}
	s.mu.Lock()
	n.applied.resetting = false
	s.mu.Unlock()
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
