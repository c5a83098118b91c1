package bgp

import (
	"context"
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
		if hop, ok := n.nextHop(f); ok {
			r := newRule(n.Export, out)
			r.classes["self"], r.hop = n.ASN == s.cfg.ASN, hop
			want[out] = r
		}
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

// SetNeverImport refuses exactly these prefixes from every neighbor, whatever
// its import policy says: this router's own networks and the connected ones.
// The list replaces the one before.
func (s *Speaker) SetNeverImport(ctx context.Context, prefixes []netip.Prefix) error {
	never := make(map[netip.Prefix]struct{}, len(prefixes))
	matches := make(map[match]bool, len(prefixes))
	for _, p := range prefixes {
		never[p.Masked()] = struct{}{}
		matches[matchOf(Filter{Prefix: p.Masked()})] = true
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	// Only neighbors that announce one of the prefixes that come or go are
	// looked at again: the list changes with every tunnel that comes up.
	s.mu.Lock()
	moved := difference(s.never, never)
	s.never = never
	var concerned []*neighbor
	for _, n := range s.neighbors {
		if n.announcesAny(moved) {
			s.judgeLocked(n)
			concerned = append(concerned, n)
		}
	}
	s.mu.Unlock()
	if len(concerned) > 0 {
		s.notify()
	}
	if changed, err := s.policies.setNever(ctx, matches); err != nil || !changed {
		return err
	}
	for _, n := range concerned {
		if err := errors.Join(s.writePolicies(n), s.softReset(n, true, false)); err != nil {
			return fmt.Errorf("bgp: set never-import: peer %s: %w", n.Name, err)
		}
	}
	return nil
}

// difference returns what is in one of the sets only.
func difference(a, b map[netip.Prefix]struct{}) (only []netip.Prefix) {
	for p := range a {
		if _, ok := b[p]; !ok {
			only = append(only, p)
		}
	}
	for p := range b {
		if _, ok := a[p]; !ok {
			only = append(only, p)
		}
	}
	return only
}

// announcesAny reports whether the peer announces one of the prefixes.
func (n *neighbor) announcesAny(prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if _, ok := n.ledgers[familyOf(p)].entries[p]; ok {
			return true
		}
	}
	return false
}
