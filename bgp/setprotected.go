package bgp

import (
	"context"
	"log/slog"
	"net/netip"

	"warren/bgp/judge"
)

// SetProtected says what of this router no neighbor may take. It replaces what
// was said before; prefixes that it concerns are judged again, and sessions
// stay.
func (s *Speaker) SetProtected(_ context.Context, p *Protected) error {
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	old := s.protected
	if p.Equal(old) {
		s.mu.Unlock()
		return nil
	}
	s.protected = p
	policies := make(map[*peerConn]judge.Policy)
	for _, n := range s.neighbors {
		if c := n.session.conn; c != nil {
			policies[c] = s.judgePolicyLocked(n)
		}
	}
	affected := p.Affects(old)
	for best := range s.rib.best {
		if affected(best) {
			s.rib.changed[best] = struct{}{}
		}
	}
	s.mu.Unlock()
	for c, policy := range policies {
		c.setPolicy(policy, affected)
	}
	s.notify()
	return nil
}

// refused tells an operator who looks why a prefix is not there. That one was
// refused which a filter did match is said aloud, once in a connection.
func (n *neighbor) refused(log *slog.Logger, p netip.Prefix, reason Reason) {
	level := slog.LevelDebug
	if reason.Kind == ReasonInside && !n.toldInside.Swap(true) {
		level = slog.LevelWarn
	}
	if log.Enabled(n.ctx, level) {
		log.Log(n.ctx, level, "prefix refused", slog.String("peer", n.Name), slog.Any("prefix", p), slog.String("reason", reason.String()))
	}
}
