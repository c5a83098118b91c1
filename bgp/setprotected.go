package bgp

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"

	"github.com/gaissmai/bart"
)

// SetProtected says what of this router no neighbor may take. It replaces what
// was said before; prefixes that it concerns are judged again, and sessions
// stay.
func (s *Speaker) SetProtected(ctx context.Context, p *Protected) error {
	s.opMu.Lock()
	defer s.opMu.Unlock()
	// Only neighbors that announce a prefix which is protected otherwise now are
	// looked at again: there is a change with every tunnel that comes up.
	s.mu.Lock()
	old := s.protected
	if p.Equal(old) {
		s.mu.Unlock()
		return nil
	}
	s.protected = p
	affected := p.Affects(old)
	var write, reset []*neighbor
	for _, n := range s.neighbors {
		if p.outside(n.Import) != old.outside(n.Import) {
			write = append(write, n)
		}
		if n.announcesAny(affected) {
			s.judgeLocked(n)
			reset = append(reset, n)
		}
	}
	s.mu.Unlock()
	if len(reset) > 0 {
		s.notify()
	}
	changed, err := s.policies.setProtected(ctx, p)
	if err != nil {
		return fmt.Errorf("bgp: set protected: %w", err)
	}
	for _, n := range append(write, reset...) {
		if err := errors.Join(s.writePolicies(n), s.softReset(n, changed, false)); err != nil {
			return fmt.Errorf("bgp: set protected: peer %s: %w", n.Name, err)
		}
	}
	return nil
}

// announcesAny reports whether the peer announces a prefix for which affected is
// true.
func (n *neighbor) announcesAny(affected func(netip.Prefix) bool) bool {
	for f := range n.ledgers {
		for p := range n.ledgers[f].entries {
			if affected(p) {
				return true
			}
		}
	}
	return false
}

// logProtectedLocked tells an operator who looks why a prefix is not there. That
// one was refused which a filter did match is said aloud, once in a session.
func (s *Speaker) logProtectedLocked(n *neighbor, p netip.Prefix, reason Reason) {
	level := slog.LevelDebug
	if reason.Kind == ReasonInside && !n.session.toldInside {
		n.session.toldInside, level = true, slog.LevelWarn
	}
	if s.log.Enabled(s.ctx, level) {
		s.log.Log(s.ctx, level, "prefix refused", slog.String("peer", n.Name), slog.Any("prefix", p), slog.String("reason", reason.String()))
	}
}

// outside reports whether no filter of an import policy lies inside an own
// prefix. Then nothing inside one passes the policy, which GoBGP can be told;
// otherwise it lets more in than Policy.Accepts does.
func (pr *Protected) outside(imp Policy) bool {
	if pr == nil {
		return true
	}
	for _, f := range imp.Prefixes {
		if pr.within.LookupPrefix(f.Prefix) {
			return false
		}
	}
	return true
}

// setProtected makes GoBGP's sets of what no neighbor's import lets in, and of
// what is inside own prefixes, equal to what pr says.
func (p *policies) setProtected(ctx context.Context, pr *Protected) (changed bool, err error) {
	exact := func(own netip.Prefix) match { return match{own, own.Bits(), own.Bits()} }
	inside := func(around netip.Prefix) match { return match{around, around.Bits(), around.Addr().BitLen()} }
	old, now := p.protected, pr
	if now == nil {
		now = &Protected{}
	}
	var errs []error
	for _, f := range families4and6 {
		for _, c := range []struct {
			set      string
			now, old *bart.Lite
			match    func(netip.Prefix) match
		}{
			{"never", &now.own, &old.own, exact},
			{"reserved", &now.reserved, &old.reserved, inside},
			{"outside", &now.within, &old.within, inside},
		} {
			name := place{dirImport, f}.set(c.set)
			added, removed := only(c.now, c.old, f, c.match), only(c.old, c.now, f, c.match)
			changed = changed || len(added)+len(removed) > 0
			errs = append(errs, p.addPrefixes(ctx, name, added...), p.removePrefixes(ctx, name, removed...))
		}
	}
	p.protected = now
	return changed, errors.Join(errs...)
}

// only returns the matches of what is in a and not in b, of one family.
func only(a, b *bart.Lite, f family, matchOf func(netip.Prefix) match) (ms []match) {
	all := [2]iter.Seq[netip.Prefix]{ipv4: a.All4(), ipv6: a.All6()}[f]
	for p := range all {
		if !b.Get(p) {
			ms = append(ms, matchOf(p))
		}
	}
	return ms
}
