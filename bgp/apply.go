package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"warren/bgp/judge"
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
			r.classes["self"], r.hop = n.ASN == s.cfg.ASN, hop
			want[at] = r
		}
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

// SetNeverImport refuses exactly these prefixes from every neighbor, whatever
// its import policy says: this router's own networks and the connected ones.
// The list replaces the one before.
func (s *Speaker) SetNeverImport(_ context.Context, prefixes []netip.Prefix) error {
	never := make(map[netip.Prefix]struct{}, len(prefixes))
	for _, p := range prefixes {
		never[p.Masked()] = struct{}{}
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	moved := difference(s.never, never)
	s.never = never
	policies := make(map[*peerConn]judge.Policy)
	for _, n := range s.neighbors {
		if c := n.session.conn; c != nil && len(moved) > 0 {
			policies[c] = s.judgePolicyLocked(n)
		}
	}
	for p := range moved {
		s.rib.changed[p] = struct{}{}
	}
	s.mu.Unlock()
	for c, policy := range policies {
		c.setPolicy(policy, func(p netip.Prefix) bool { _, ok := moved[p]; return ok })
	}
	if len(moved) > 0 {
		s.notify()
	}
	return nil
}

// difference returns what is in one of the sets only.
func difference(a, b map[netip.Prefix]struct{}) map[netip.Prefix]struct{} {
	only := make(map[netip.Prefix]struct{})
	for p := range a {
		if _, ok := b[p]; !ok {
			only[p] = struct{}{}
		}
	}
	for p := range b {
		if _, ok := a[p]; !ok {
			only[p] = struct{}{}
		}
	}
	return only
}
