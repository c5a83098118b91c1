package engine

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
			n.session.conn.raise.Store(raise)
		}
	}
	n.applied.resetting = n.applied.resetting || changed
	n.applied.exported, n.applied.export, n.applied.hops, n.applied.preferred = err == nil, export, hops, prefer
	if err == nil {
		n.applied.preference = n.Preference
	}
	reset := n.applied.resetting
	s.mu.Unlock()
	if err != nil || !reset {
		return err
	}
	switch s.takesForEstablished(n) {
	case yes:
		return s.dump(n)
	case notYet:
		s.wakeSoon()
		return nil
	}
	s.mu.Lock()
	n.applied.resetting = false // without a session nothing was sent
	s.mu.Unlock()
	return nil
}

// raiseLocked is what is added to LOCAL_PREF of what n is sent.
func (s *Speaker) raiseLocked(n *neighbor) uint32 {
	if n.ASN != s.cfg.ASN {
		return 0
	}
	return uint32(n.Preference)
}

// dump has GoBGP send n all routes, unless it is about to: then the end of that wakes
// the reconciler. opMu is held.
func (s *Speaker) dump(n *neighbor) error {
	s.mu.Lock()
	began := s.beginDumpLocked(n)
	var err error
	if began {
		err = s.withdrawMissedLocked(n)
	}
	s.mu.Unlock()
	if !began || err != nil {
		return err
	}
	err = s.server.ResetPeer(s.ctx, &api.ResetPeerRequest{Address: n.PeerAddr.String(), Soft: true, Direction: api.ResetPeerRequest_DIRECTION_OUT})
	if err == nil {
		return nil
	}
	s.mu.Lock()
	n.applied.resetting, n.session.dumping = true, [2]bool{}
	s.mu.Unlock()
	return fmt.Errorf("soft reset: %w", err)
}

// What takesForEstablished answers.
type standing int

const (
	no standing = iota
	notYet
	yes
)

// takesForEstablished reports whether GoBGP takes n's session for established. It
// says that a session is established a moment before it takes it for one itself,
// longer on a busy machine; what it does for sessions it does not do for n until
// then. Nor is it sure before that which policies its first routes were sent with.
func (s *Speaker) takesForEstablished(n *neighbor) standing {
	s.mu.Lock()
	established := n.session.state == stateEstablished
	none := n.session.conn == nil || n.session.away()
	s.mu.Unlock()
	if none {
		return no
	}
	is := notYet
	err := s.server.ListPeer(s.ctx, &api.ListPeerRequest{Address: n.PeerAddr.String()}, func(p *api.Peer) {
		if established && p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED {
			is = yes
		}
	})
	if err != nil {
		return no // it is not there any more
	}
	return is
}

// wakeSoon has the reconciler look again in a moment.
func (s *Speaker) wakeSoon() { time.AfterFunc(readyInterval, s.wake) }
