package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"warren/bgp"
	"warren/bgp/sockets"
)

// Config is what a Speaker is made of. It cannot change later, but for what SetLimits sets.
type Config struct {
	ASN      uint32
	RouterID netip.Addr
	Logger   *slog.Logger

	// MemoryMax is how many bytes of memory the process may take; 0: half of what the machine has.
	MemoryMax int64
	// RestartTime is how long routes stay when the process has died.
	RestartTime time.Duration
	// OnEvent is nil, or called with each event of a session, from any goroutine, that of Want
	// among them. It must not block. An event without a cause is of a session that Want has ended.
	OnEvent func(bgp.Event)

	// Resume is what the program before has left in this process; nil: nothing. See TakeUp.
	Resume *Handover

	sockets      sockets.Opener // another port, for tests
	command      []string       // the process's arguments, for tests; nil: those of the binary
	pingInterval time.Duration  // another one, for tests; 0: that of the package
}

// A Speaker is the BGP speaker as the daemon sees it. Its methods may be called from any goroutine; none
// of them but Settle and those that run waits for the process.
type Speaker struct {
	cfg Config
	log *slog.Logger

	mu        sync.Mutex // guards what follows
	limits    limits
	table     *table
	wanted    wanted
	settled   settled
	parted    uint64   // serial of the last Want of which the process says that what it has ended is over
	process   *process // nil between two
	restarts  int
	ended     time.Time // when the last process died; zero: none has
	lastError string
	told      slog.Level // at which that went to the log
	listener  inspectionListener
	hold      *hold // nil: a process is kept running
	asked     asked

	events chan struct{} // capacity 1
	held   chan struct{} // capacity 1: hold is another
	passed chan struct{} // closed, and replaced, when settled or parted changes
	asking chan struct{} // capacity 1: held by whoever asks the process
}

// limits are what SetLimits sets.
type limits struct {
	memoryMax   int64
	restartTime time.Duration
}

// wanted is bgp.Wanted with normalized addresses, in order.
type wanted struct {
	serial    uint64 // of the last change
	neighbors []bgp.Neighbor
	announced []netip.Prefix
	assigned  map[netip.Prefix][]string
	protected *bgp.Protected
	absent    []bgp.Absent
	farewells map[string]bgp.Farewell
}

// settled is what the process has said of what is wanted.
type settled struct {
	serial uint64
	err    string
}

// New makes a Speaker. Run must follow.
func New(cfg Config) *Speaker {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.OnEvent == nil {
		cfg.OnEvent = func(bgp.Event) {}
	}
	if cfg.pingInterval == 0 {
		cfg.pingInterval = pingInterval
	}
	s := &Speaker{
		cfg: cfg, log: cfg.Logger, table: newTable(),
		events: make(chan struct{}, 1), held: make(chan struct{}, 1), passed: make(chan struct{}), asking: make(chan struct{}, 1),
	}
	s.SetLimits(cfg.MemoryMax, cfg.RestartTime)
	if h := cfg.Resume; h != nil {
		s.ended, s.restarts, s.lastError = time.Now(), h.Restarts, h.LastError
	}
	return s
}

// SetLimits changes Config.MemoryMax, at once, and Config.RestartTime, for the next time.
func (s *Speaker) SetLimits(memoryMax int64, restartTime time.Duration) {
	if memoryMax == 0 {
		memoryMax = defaultMemory()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = limits{memoryMax, restartTime}
	s.process.wake()
}

func (s *Speaker) limitsNow() limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

// Want replaces what the speaker is to do. It does not wait for the process. One thing is done when it
// returns: the routes of neighbors that are not wanted any more, or in another session, are gone.
func (s *Speaker) Want(w bgp.Wanted) {
	next := wanted{announced: slices.Clone(w.Announced), assigned: w.Assigned, protected: w.Protected, absent: slices.Clone(w.Absent), farewells: w.Farewells}
	for _, n := range w.Neighbors {
		n.Normalize()
		next.neighbors = append(next.neighbors, n)
	}
	slices.SortFunc(next.neighbors, func(a, b bgp.Neighbor) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range s.want(next) {
		s.cfg.OnEvent(e)
	}
}

// want takes over what is wanted, and returns the sessions that end by it: the process will not tell of
// them, as it is not asked about them any more.
func (s *Speaker) want(next wanted) (ended []bgp.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.same(&s.wanted) {
		return nil
	}
	next.serial = s.wanted.serial + 1
	s.wanted = next
	now := time.Now()
	for _, o := range s.table.want(next.neighbors, next.protected) {
		ended = append(ended, bgp.Event{Kind: bgp.SessionDown, Time: now, Neighbor: o.neighbor.Name, Lasted: max(now.Sub(o.up), 1)})
	}
	s.notifyLocked()
	s.process.wake()
	return ended
}

// same reports whether both ask for the same.
func (w *wanted) same(o *wanted) bool {
	return o.serial > 0 && slices.Equal(w.announced, o.announced) && maps.EqualFunc(w.assigned, o.assigned, slices.Equal) && w.protected.Equal(o.protected) && slices.Equal(w.absent, o.absent) &&
		slices.EqualFunc(w.neighbors, o.neighbors, func(a, b bgp.Neighbor) bool {
			return a.Name == b.Name && a.SameSession(&b) && a.Import.Equal(b.Import) && a.Export.Equal(b.Export) &&
				a.MaxPrefixes == b.MaxPrefixes && a.HardMaxPrefixes == b.HardMaxPrefixes && a.RTT == b.RTT &&
				a.Preference == b.Preference && a.Drained == b.Drained
		})
}

// Settle waits until what is wanted now was brought about or has failed once, and returns what has
// failed.
func (s *Speaker) Settle(ctx context.Context) error {
	s.mu.Lock()
	serial := s.wanted.serial
	s.mu.Unlock()
	for {
		s.mu.Lock()
		is, passed := s.settled, s.passed
		s.mu.Unlock()
		switch {
		case is.serial >= serial && is.err != "":
			return errors.New(is.err)
		case is.serial >= serial:
			return nil
		}
		select {
		case <-passed:
		case <-ctx.Done():
			return fmt.Errorf("not all is applied yet: %w", ctx.Err())
		}
	}
}

// Part waits until the sessions that Want has ended are over, with what their peers are told of it, or there is
// no process, or ctx is done.
func (s *Speaker) Part(ctx context.Context) {
	s.mu.Lock()
	serial := s.wanted.serial
	s.mu.Unlock()
	for {
		s.mu.Lock()
		over, passed := s.parted >= serial || s.process == nil, s.passed
		s.mu.Unlock()
		if over {
			return
		}
		select {
		case <-passed:
		case <-ctx.Done():
			return
		}
	}
}

// part takes that those are over that a Want has ended.
func (s *Speaker) part(serial uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if serial > s.wanted.serial {
		return
	}
	s.parted = max(s.parted, serial)
	s.passLocked()
}

func (s *Speaker) passLocked() {
	close(s.passed)
	s.passed = make(chan struct{})
}

// settle takes what the process says of it.
func (s *Speaker) settle(is settled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is.serial > s.wanted.serial {
		return
	}
	s.settled = is
	s.passLocked()
}

// Neighbors returns the status of all neighbors that are wanted, as the process has told it last.
func (s *Speaker) Neighbors() []bgp.NeighborStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]bgp.NeighborStatus, 0, len(s.table.wanted))
	stale := s.table.staleUntil()
	for _, o := range s.table.wanted {
		st := o.status
		if !o.known {
			st = bgp.NeighborStatus{Name: o.neighbor.Name, PeerAddr: o.neighbor.PeerAddr, ASN: o.neighbor.ASN, State: "idle"}
			if s.restarts > 0 {
				st.LastError = "the speaker starts again: " + s.lastError
			}
		}
		if until := stale[o.neighbor.Name]; until.After(st.RestartUntil) {
			st.RestartUntil = until
		}
		all = append(all, st)
	}
	return all
}

// TakeChanges returns what became of prefixes whose route has changed since they were returned last, for
// most of them at most: the route, without ways if there is none any more. more says that there are
// others. It is for a single consumer, who does not change what is in it.
func (s *Speaker) TakeChanges(most int) (changes map[netip.Prefix]bgp.Route, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.take(most), s.table.changed.Len() > 0
}

// Events returns a channel that holds one signal after something changed: a route, or a
// neighbor's state. Signals coalesce; look with TakeChanges and Neighbors.
func (s *Speaker) Events() <-chan struct{} { return s.events }

func (s *Speaker) notifyLocked() {
	select {
	case s.events <- struct{}{}:
	default:
	}
}

// Status is the state of the process.
type Status struct {
	PID       int    // 0 between two
	Restarts  int    // how often it has died, or could not be started, without being told to
	LastError string // why it has last; empty: it has not
}

// Status returns the state of the process.
func (s *Speaker) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Restarts: s.restarts, LastError: s.lastError}
	if s.process != nil {
		st.PID = s.process.pid
	}
	return st
}

// inspectionListener is where the gobgp command is answered.
type inspectionListener struct {
	number uint32        // of the last one
	conn   syscall.Conn  // nil: there is none
	failed chan<- string // capacity 1: why the process cannot answer
}

// ServeInspection has the process answer the gobgp command on l, which may look and not change
// anything, until ctx is done or l fails; it closes l. While there is no process, clients
// wait. l is a listener of package net or of package internal/socket.
func (s *Speaker) ServeInspection(ctx context.Context, l net.Listener) error {
	defer l.Close()
	conn, ok := l.(syscall.Conn)
	if !ok {
		return fmt.Errorf("speaker: the listener on %s has no descriptor", l.Addr())
	}
	failed := make(chan string, 1)
	s.mu.Lock()
	s.listener = inspectionListener{number: s.listener.number + 1, conn: conn, failed: failed}
	number := s.listener.number
	s.process.wake()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		if s.listener.number == number {
			s.listener = inspectionListener{number: number + 1}
			s.process.wake()
		}
		s.mu.Unlock()
	}()
	select {
	case why := <-failed:
		return errors.New(why)
	case <-ctx.Done():
		return nil
	}
}

// restart returns what a new process is told: for how long peers are asked to keep routes, and
// whether they may have the routes still that the last process announced, as the kernel has
// those that they announced: it has died, and not long ago.
func (s *Speaker) restart(now time.Time) (long time.Duration, restarted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits.restartTime, !s.ended.IsZero() && now.Sub(s.ended) < s.limits.restartTime
}

// orphanLocked notes that there is no process any more.
func (s *Speaker) orphanLocked(now time.Time) {
	s.process = nil
	s.ended = now
	s.table.orphan(now.Add(s.limits.restartTime))
	s.settled.serial, s.parted = 0, 0
	s.passLocked()
	s.notifyLocked()
}

// died takes note that the process has ended without being told to. Routes stay for a while.
func (s *Speaker) died(cause string, told slog.Level) {
	now := time.Now()
	s.mu.Lock()
	var ended []bgp.Event
	for _, name := range slices.Sorted(maps.Keys(s.table.wanted)) {
		if o := s.table.wanted[name]; !o.up.IsZero() {
			ended = append(ended, bgp.Event{Kind: bgp.SessionDown, Time: now, Neighbor: name, Cause: "the speaker has ended: " + cause, Lasted: max(now.Sub(o.up), 1)})
		}
	}
	s.restarts++
	s.lastError, s.told = cause, told
	s.orphanLocked(now)
	s.mu.Unlock()
	for _, e := range ended {
		s.cfg.OnEvent(e)
	}
}
