package bgp

import (
	"log/slog"
	"time"
)

// Limits are settled soon after one is crossed, so that a flood is turned away
// by policy and not one by one, and then not too often: each time costs GoBGP
// a pass over all that the neighbor announces.
const (
	limitDelay    = 200 * time.Millisecond
	limitInterval = time.Second
)

func (s *Speaker) wakeEnforcer() {
	select {
	case s.overflow <- struct{}{}:
	default:
	}
}

// enforceLimits settles the ledgers that overflow or have room again, until
// the speaker stops.
func (s *Speaker) enforceLimits() {
	for wait := limitDelay; ; wait = limitInterval {
		select {
		case <-s.overflow:
		case <-s.ctx.Done():
			return
		}
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			return
		}
		s.settle()
	}
}

// settle does one round of enforceLimits.
func (s *Speaker) settle() {
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	var work []*neighbor
	for _, n := range s.neighbors {
		needed := false
		for f := range n.ledgers {
			l := &n.ledgers[f]
			if !l.needsWork(n.MaxPrefixes) {
				continue
			}
			needed = true
			was := l.narrowed
			for _, p := range l.settle(n.MaxPrefixes) {
				s.rib.changed[p] = struct{}{}
			}
			if l.narrowed && !was {
				s.log.Warn("peer announces more prefixes than max_prefixes: the rest is refused",
					slog.String("peer", n.Name), slog.String("family", family(f).String()),
					slog.Int("max_prefixes", n.MaxPrefixes))
			}
		}
		if needed {
			work = append(work, n)
		}
	}
	s.mu.Unlock()
	for _, n := range work {
		if err := s.writePolicies(n); err != nil {
			s.log.Error("prefix limit not applied", slog.String("peer", n.Name), slog.Any("err", err))
		}
	}
	s.notify()
}
