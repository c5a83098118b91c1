package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// What is wanted and what is so are two things. One goroutine compares them and
// closes the gap, step by step; each step that has succeeded is remembered as
// so, and what fails is tried again after a pause that grows. Failures are
// logged once, and shown as the neighbor's LastError until they are over.
const (
	firstRetry   = time.Second
	longestRetry = 30 * time.Second
)

// announceFailure is the name in Speaker.failures of what concerns no neighbor.
// A peer's name cannot be empty.
const announceFailure = ""

// A failure is something wanted that could not be had. Speaker.mu guards it.
type failure struct {
	err   error
	tries int
	next  time.Time
}

// applied is what of a Neighbor's policies is so. Speaker.mu guards it.
type applied struct {
	exported  bool       // GoBGP's export policies are as what follows says
	export    Policy     //
	hops      [2]hop     // by family
	preferred preferred  //
	raise     outgoing   // what is made of LOCAL_PREF of what is sent
	resetting bool       // routes that were sent are still to be brought in line
	judged    judgedWith // what the judge of the current connection was told

	// preference is Neighbor.Preference as far as GoBGP has it. The judge is told after that:
	// what it hands on again then gets the new LOCAL_PREF.
	preference int
	drained    rank // likewise
}

// A hop is what nextHop said.
type hop struct {
	addr netip.Addr
	ok   bool
}

// judgedWith is what a judge.Policy was made from.
type judgedWith struct {
	conn                         *peerConn
	imports                      Policy
	maxPrefixes, hardMaxPrefixes int
	protected                    *Protected
	preference                   int
	drained                      rank
}

// wake has the reconciler look.
func (s *Speaker) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// reconcileLoop works until the speaker stops.
func (s *Speaker) reconcileLoop() {
	for {
		due := s.reconcile()
		var retry <-chan time.Time
		if !due.IsZero() {
			retry = time.After(time.Until(due))
		}
		select {
		case <-s.kick:
		case <-retry:
		case <-s.ctx.Done():
			return
		}
	}
}

// reconcile goes once through all that is wanted. It returns when something that
// has failed is due again, or zero.
func (s *Speaker) reconcile() time.Time {
	s.mu.Lock()
	serial, now := s.wanted.serial, time.Now()
	s.protected = s.wanted.protected
	names := slices.Sorted(maps.Keys(s.wanted.neighbors))
	s.mu.Unlock()

	s.try(announceFailure, now, s.announce)
	for _, name := range names {
		s.try(name, now, func() error { return s.reconcileNeighbor(name) })
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = serial
	close(s.passed)
	s.passed = make(chan struct{})
	var due time.Time
	for _, f := range s.failures {
		if due.IsZero() || f.next.Before(due) {
			due = f.next
		}
	}
	return due
}

// try does something that is wanted, unless it has failed and is not due yet.
func (s *Speaker) try(name string, now time.Time, do func() error) {
	s.mu.Lock()
	before := s.failures[name]
	waits := before != nil && now.Before(before.next)
	s.mu.Unlock()
	if waits {
		return
	}
	err := do()
	if s.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	if err == nil {
		delete(s.failures, name)
	} else {
		f := &failure{err: err}
		if before != nil {
			f.tries = before.tries
		}
		f.next = time.Now().Add(min(firstRetry<<min(f.tries, 10), longestRetry))
		f.tries++
		s.failures[name] = f
	}
	s.mu.Unlock()
	if err == nil && before == nil {
		return
	}
	log := s.log
	if name != announceFailure {
		log = log.With(slog.String("peer", name))
	}
	if err == nil {
		log.Info("BGP is as configured again")
	} else if before == nil || before.err.Error() != err.Error() {
		log.Error("BGP is not as configured; trying again", slog.Any("err", err))
	}
	s.notify()
}

// reconcileNeighbor adds the neighbor that is wanted under a name if there is
// none, and brings its policies in line otherwise. One that is not wanted any
// more was dropped by Want.
func (s *Speaker) reconcileNeighbor(name string) error {
	s.mu.Lock()
	want := s.wanted.neighbors[name]
	if want == nil {
		s.mu.Unlock()
		return nil
	}
	n := s.neighbors[name]
	if n != nil {
		s.setPoliciesLocked(n, want)
		s.mu.Unlock()
		err := s.applyExport(n)
		s.applyImport(n)
		return err
	}
	n, err := s.reserveLocked(want)
	s.mu.Unlock()
	if n == nil || err != nil {
		return err
	}
	if err := s.addNeighbor(n); err != nil {
		return fmt.Errorf("bgp: add neighbor %s: %w", name, err)
	}
	s.notify()
	return nil
}

// reserveLocked enters a neighbor under its name and address. It returns nil if
// the last one with that address is still being closed; the end of that wakes
// the reconciler.
func (s *Speaker) reserveLocked(want *Neighbor) (*neighbor, error) {
	if err := errors.Join(want.Validate(), s.suits(want)); err != nil {
		return nil, fmt.Errorf("bgp: neighbor %s: %w", want.Name, err)
	}
	n := s.newNeighbor(*want)
	if other, ok := s.byAddr[n.key]; ok {
		n.cancel()
		return nil, fmt.Errorf("bgp: neighbor %s: peer address %s is also that of peer %s: give each tunnel an address of its own (another `link`, or `address` and `peer_address`)", want.Name, n.key, other.Name)
	}
	if s.closing[n.key] != nil {
		n.cancel()
		return nil, nil
	}
	n.added = time.Now()
	s.neighbors[n.Name], s.byAddr[n.key] = n, n
	return n, nil
}

// addNeighbor gives GoBGP a neighbor that was reserved, or takes it back.
func (s *Speaker) addNeighbor(n *neighbor) error {
	s.opMu.Lock()
	defer s.opMu.Unlock()
	err := s.writePolicies(n)
	if err == nil {
		s.listen(n)
		err = s.server.AddPeer(s.ctx, &api.AddPeerRequest{Peer: s.apiPeer(n)})
	}
	if err == nil {
		return nil
	}
	s.mu.Lock()
	mine := s.neighbors[n.Name] == n // or Want has dropped it, and close sees to the rest
	if mine {
		delete(s.neighbors, n.Name)
		delete(s.byAddr, n.key)
	}
	s.mu.Unlock()
	if !mine {
		return nil
	}
	n.stop()
	return errors.Join(err, s.policies.forget(n.key))
}

// setPoliciesLocked takes over what is wanted. A neighbor that is held back for
// too many prefixes is tried again at once when it may announce others.
func (s *Speaker) setPoliciesLocked(n *neighbor, want *Neighbor) {
	if n.MaxPrefixes != want.MaxPrefixes || n.HardMaxPrefixes != want.HardMaxPrefixes {
		n.release()
		n.hold.most, n.hold.hardMost = want.MaxPrefixes, want.HardMaxPrefixes
	}
	n.Import, n.Export, n.Preference, n.Drained = want.Import, want.Export, want.Preference, want.Drained
	n.MaxPrefixes, n.HardMaxPrefixes = want.MaxPrefixes, want.HardMaxPrefixes
}

// judgedWithLocked is what the judge of a connection with n is to be told.
func (s *Speaker) judgedWithLocked(n *neighbor) judgedWith {
	return judgedWith{n.session.conn, n.Import, n.MaxPrefixes, n.HardMaxPrefixes, s.protected, n.applied.preference, n.applied.drained}
}

// applyImport tells the judge of n's connection what to accept, if that has
// changed. It cannot fail.
func (s *Speaker) applyImport(n *neighbor) {
	s.mu.Lock()
	want, have := s.judgedWithLocked(n), n.applied.judged
	same := want.imports.Equal(have.imports) && want.maxPrefixes == have.maxPrefixes && want.hardMaxPrefixes == have.hardMaxPrefixes &&
		want.preference == have.preference && want.drained == have.drained
	if want.conn == nil || want.conn == have.conn && same && want.protected.Equal(have.protected) {
		s.mu.Unlock()
		return
	}
	var affected func(netip.Prefix) bool // all
	if want.conn == have.conn && same {
		affected = want.protected.Affects(have.protected)
	}
	n.applied.judged = want
	policy := s.judgePolicyLocked(n)
	s.mu.Unlock()
	want.conn.setPolicy(policy, affected)
	s.notify()
}

// applyExport brings GoBGP's export policies for n in line, and what n was sent.
func (s *Speaker) applyExport(n *neighbor) error {
	s.mu.Lock()
	done := s.exportedLocked(n)
	s.mu.Unlock()
	if done {
		return nil
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	if n.ctx.Err() != nil {
		return nil // it was dropped
	}
	if err := n.Export.Validate(); err != nil {
		return fmt.Errorf("bgp: neighbor %s: export: %w", n.Name, err)
	}
	if err := s.writePolicies(n); err != nil {
		return fmt.Errorf("bgp: neighbor %s: export: not applied: %w", n.Name, err)
	}
	s.notify()
	return nil
}

// hopsLocked is what nextHop says of each family, once anything is announced.
func (s *Speaker) hopsLocked(n *neighbor) (hops [2]hop) {
	if s.deferring {
		return hops
	}
	for _, f := range families4and6 {
		hops[f].addr, hops[f].ok = n.nextHop(f)
	}
	return hops
}
