package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// writePolicies brings GoBGP's policies for n up to date, and has GoBGP apply
// them to the routes it holds. opMu is held.
func (s *Speaker) writePolicies(n *neighbor) error {
	s.mu.Lock()
	want := make(map[place]rule)
	for _, f := range families4and6 {
		in, out := place{dirImport, f}, place{dirExport, f}
		want[in], want[out] = newRule(n.Import, in), newRule(Policy{}, out)
		want[in].classes["outside"] = s.protected.outside(n.Import)
		if hop, ok := n.nextHop(f); ok {
			r := newRule(n.Export, out)
			r.hop = hop
			want[out] = r
		}
		want[out].classes["self"] = n.ASN == s.cfg.ASN
		if l := &n.ledgers[f]; l.narrowed {
			want[in] = newRule(Policy{Prefixes: l.exact()}, in)
		}
	}
	s.mu.Unlock()
	var changed [2]bool
	var errs []error
	for at, r := range want {
		c, err := s.policies.set(s.ctx, n.key, at, r)
		changed[at.dir] = changed[at.dir] || c
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.softReset(n, changed[dirImport], changed[dirExport])
}

// softReset makes GoBGP run n's routes through the policies again.
func (s *Speaker) softReset(n *neighbor, in, out bool) error {
	if !in && !out || !s.waitEstablished(n) {
		return nil
	}
	for dir, wanted := range map[api.ResetPeerRequest_Direction]bool{
		api.ResetPeerRequest_DIRECTION_IN:  in,
		api.ResetPeerRequest_DIRECTION_OUT: out,
	} {
		if !wanted {
			continue
		}
		err := s.server.ResetPeer(s.ctx, &api.ResetPeerRequest{Address: n.PeerAddr.String(), Soft: true, Direction: dir})
		if err != nil {
			return fmt.Errorf("soft reset: %w", err)
		}
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

// judgeLocked applies n's import policy and limit to its ledgers.
func (s *Speaker) judgeLocked(n *neighbor) {
	for f := range n.ledgers {
		imports := func(p netip.Prefix) bool { return s.importsLocked(n, p) }
		for _, p := range n.ledgers[f].judge(imports, n.MaxPrefixes) {
			s.rib.changed[p] = struct{}{}
		}
	}
}
