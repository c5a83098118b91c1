package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Want replaces what the speaker is to do. It never waits for GoBGP: a goroutine
// of the speaker's brings about what is wanted, and tries again what fails (see
// reconcile.go). One thing is done when it returns: the routes of neighbors that
// are not wanted any more, or in another generation, are gone from Routes.
func (s *Speaker) Want(w Wanted) {
	neighbors := make(map[string]*Neighbor, len(w.Neighbors))
	for i := range w.Neighbors {
		n := w.Neighbors[i]
		n.Normalize()
		neighbors[n.Name] = &n
	}
	announced := make(map[netip.Prefix]struct{}, len(w.Announced))
	for _, p := range w.Announced {
		if p.IsValid() && !p.Addr().Is4In6() {
			announced[p.Masked()] = struct{}{}
		}
	}
	holders := make(map[string]bool)
	for _, names := range w.Assigned {
		for _, name := range names {
			holders[name] = true
		}
	}
	ranks := newRanks(s.cfg.ASN, &w)
	s.mu.Lock()
	s.wanted.neighbors, s.wanted.announced, s.wanted.protected, s.wanted.ranks = neighbors, announced, w.Protected, ranks
	s.wanted.assigned, s.wanted.holders = w.Assigned, holders
	s.wanted.serial++
	gone := make(map[*neighbor]struct{})
	for name, n := range s.neighbors {
		if next := neighbors[name]; next == nil || !n.SameSession(next) {
			gone[n] = struct{}{}
			s.dropLocked(n, w.Farewells[name])
		}
	}
	s.dropRoutesLocked(gone)
	s.forgetHoldsLocked(neighbors)
	maps.DeleteFunc(s.failures, func(name string, _ *failure) bool { return name != announceFailure && neighbors[name] == nil })
	for _, f := range s.failures {
		f.next = time.Time{} // what has changed may be what was wrong
	}
	s.checkSyncedLocked()
	s.mu.Unlock()
	s.tell()
	s.notify()
	s.wake()
}

// wanted is Wanted in the form that is compared with what is so. Speaker.mu
// guards it.
type wanted struct {
	neighbors map[string]*Neighbor // by name; addresses are normalized
	announced map[netip.Prefix]struct{}
	assigned  map[netip.Prefix][]string
	holders   map[string]bool // neighbors to which something is assigned
	protected *Protected
	ranks     *ranks // nil: no neighbor has a preference
	serial    uint64 // counts calls of Want
}

// Settle waits until what is wanted now was brought about or has failed once,
// and returns what has failed. A neighbor that waits for its predecessor's end
// is not waited for.
func (s *Speaker) Settle(ctx context.Context) error {
	s.mu.Lock()
	serial := s.wanted.serial
	s.mu.Unlock()
	for {
		s.mu.Lock()
		done, passed := s.settled >= serial, s.passed
		err := s.failuresLocked()
		s.mu.Unlock()
		if done {
			return err
		}
		select {
		case <-passed:
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("bgp: not all is applied yet: %w", ctx.Err()))
		case <-s.ctx.Done():
			return errors.New("bgp: the speaker has stopped")
		}
	}
}

// failuresLocked joins what has failed, in order of names.
func (s *Speaker) failuresLocked() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.failures)) {
		errs = append(errs, s.failures[name].err)
	}
	return errors.Join(errs...)
}
