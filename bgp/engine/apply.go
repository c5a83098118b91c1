package engine

import (
	"errors"
	"fmt"

	"github.com/osrg/gobgp/v4/api"
)

// writePolicies brings GoBGP's export policies for n up to date, and has GoBGP
// apply them to what it has sent. opMu is held.
func (s *Speaker) writePolicies(n *neighbor) error {
	s.mu.Lock()
	export, hops, prefer, raise := n.Export, s.hopsLocked(n), s.preferredLocked(n), s.raiseLocked(n)
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
	c, err := s.policies.setPreference(s.ctx, n.key, s.cfg.ASN, prefer)
	changed = changed || c
	err = errors.Join(append(errs, err)...)
	s.mu.Lock()
	if n.applied.raise != raise {
		n.applied.raise, changed = raise, true
		if n.session.conn != nil {
			n.session.conn.raise.Store(&raise)
		}
	}
	n.applied.resetting = n.applied.resetting || changed
	n.applied.exported, n.applied.export, n.applied.hops, n.applied.preferred = err == nil, export, hops, prefer
	if err == nil {
		n.applied.preference, n.applied.drained = n.Preference, prefer.drained
	}
	reset := n.applied.resetting
	s.mu.Unlock()
	if err != nil || !reset {
		return err
	}
	s.mu.Lock()
	established, none := n.session.state == stateEstablished, n.session.conn == nil || n.session.away()
	if none {
		n.applied.resetting = false // without a session nothing was sent
	}
	s.mu.Unlock()
	if none || !established {
		return nil // the beginning of a session wakes the reconciler
	}
	return s.dump(n)
}

// raiseLocked is what is made of LOCAL_PREF of what n is sent.
func (s *Speaker) raiseLocked(n *neighbor) outgoing {
	if n.ASN != s.cfg.ASN {
		return outgoing{}
	}
	return outgoing{uint32(n.Preference), s.wanted.ranks.rank(&n.Neighbor)}
}

// dump has GoBGP send n all routes, unless it is about to: then the end of that wakes
// the reconciler. opMu is held.
func (s *Speaker) dump(n *neighbor) error {
	s.mu.Lock()
	began := s.beginDumpLocked(n)
	s.mu.Unlock()
	if !began {
		return nil
	}
	err := s.server.ResetPeer(s.ctx, &api.ResetPeerRequest{Address: n.PeerAddr.String(), Soft: true, Direction: api.ResetPeerRequest_DIRECTION_OUT})
	if err == nil {
		return nil
	}
	s.mu.Lock()
	n.applied.resetting, n.session.dumping = true, [2]bool{}
	s.mu.Unlock()
	return fmt.Errorf("soft reset: %w", err)
}
