package paths

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"warren/internal/rtnl"
)

const (
	// settle is how long more of the same is waited for: a route that is replaced by a script
	// is gone for a moment.
	settle = 5 * time.Millisecond
	// loadFactor keeps the watcher under a fifth of one core: after a look it rests four times as
	// long as that took. But a look may have taken long only because the machine is busy.
	loadFactor = 4
	maxRest    = 100 * time.Millisecond
	// hopeFor is how long an interface without a carrier, which no packet can leave by, may stay
	// the way of a flow that is bound to none and could have another: the guard, which takes such
	// ways out of what the transports' packets are looked up in, needs a moment.
	hopeFor = 100 * time.Millisecond
	// routesSettle is how long the routes alone may say something else while the interface that
	// a flow leaves by runs as before: a route is often removed and added, and the guard needs a
	// moment to follow rules and routes.
	routesSettle = 500 * time.Millisecond
	auditEvery   = time.Minute // a look without an event
	// cutsAtMost is how many lists in a row are thrown away that changed while they were made: what is not in one of
	// them may be there nevertheless. Some hundreds of tunnels that come and go change them all the time.
	cutsAtMost = 8
	retryAfter = time.Second
)

// Watcher follows the ways of the transports' packets. Its methods may be called from any
// goroutine; Run does the looking.
type Watcher struct {
	mark uint32
	log  *slog.Logger

	kick  chan struct{} // has room for one: dirty has changed
	begun chan struct{} // has room for one: there is a flow without a first look
	dirty atomic.Uint32 // flags of type dirty

	mu      sync.Mutex
	follows map[*follow]struct{}
	remotes atomic.Pointer[map[netip.Addr]int] // of those, how many each; for Heard

	looks atomic.Uint64 // for tests

	// Of Run's goroutine.
	sight *sight
	cuts  int // how often in a row interfaces or addresses changed while they were listed
}

// dirty says what is to be looked at.
type dirty uint32

const (
	dirtyWays  dirty = 1 << iota
	dirtySight       // interfaces and addresses
)

// follow is a flow whose way is followed.
type follow struct {
	flow
	changed func(lost bool, why string)
	sized   func(mtu int) // in place of changed

	// Of Run's goroutine.
	way      way
	doubtful time.Time // since when it has no carrier; zero: it has, or that was told
}

// New returns a watcher of packets with a mark.
func New(mark uint32, log *slog.Logger) *Watcher {
	w := &Watcher{mark: mark, log: log, kick: make(chan struct{}, 1), begun: make(chan struct{}, 1), follows: make(map[*follow]struct{})}
	w.remotes.Store(&map[netip.Addr]int{})
	w.dirty.Store(uint32(dirtySight))
	return w
}

// Socket is what sockets have in common whose packets are followed.
type Socket struct {
	w       *Watcher
	ipProto uint8
	device  string
}

// Socket returns that of a protocol (unix.IPPROTO_TCP, …), bound to an interface or, with "", to none.
func (w *Watcher) Socket(ipProto uint8, device string) Socket { return Socket{w, ipProto, device} }

// Follow calls changed when the kernel's way from local to remote is lost or is another, with
// words for the operator. A local address that is not valid is the kernel's choice, a port of 0
// any. A connection that has no way at the first look, or can't be answered, is told that it is
// another. changed must not block; it is called from Run's goroutine, and may still be called
// once while stop is.
func (s Socket) Follow(local, remote netip.AddrPort, changed func(lost bool, why string)) (stop func()) {
	return s.follow(&follow{changed: changed}, local, remote)
}

// FollowMTU calls told with how large packets to remote may be, in bytes with their IP headers, so that this machine
// does not cut them: now, and when that changes. Without a way nothing is told. told is called as changed is of Follow.
func (s Socket) FollowMTU(remote netip.AddrPort, told func(mtu int)) (stop func()) {
	return s.follow(&follow{sized: told}, netip.AddrPort{}, remote)
}

func (s Socket) follow(f *follow, local, remote netip.AddrPort) (stop func()) {
	f.flow = flow{ipProto: s.ipProto, device: s.device, local: unmap(local), remote: unmap(remote)}
	s.w.add(f)
	signal(s.w.begun)
	return sync.OnceFunc(func() { s.w.remove(f) })
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func (w *Watcher) add(f *follow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follows[f] = struct{}{}
	w.countRemotes()
}

func (w *Watcher) remove(f *follow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.follows, f)
	w.countRemotes()
}

// countRemotes is for who has mu.
func (w *Watcher) countRemotes() {
	remotes := make(map[netip.Addr]int, len(w.follows))
	for f := range w.follows {
		remotes[f.remote.Addr().WithZone("")]++
	}
	w.remotes.Store(&remotes)
}

func (w *Watcher) see(what dirty) {
	w.dirty.Or(uint32(what))
	signal(w.kick)
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run looks at the ways when something changed, until ctx is done, and returns nil then. It is
// called once. It needs no privileges, and works in the network namespace of the calling thread.
func (w *Watcher) Run(ctx context.Context) error {
	conn, err := rtnl.Dial()
	if err != nil {
		return fmt.Errorf("paths: %w", err)
	}
	defer conn.Close()
	k := &kernel{conn: conn, mark: w.mark}
	var rested time.Time // no look before this
	next := time.NewTimer(0)
	defer next.Stop()
	planned := false // next is for an event
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.begun:
			if !w.first(k) {
				w.see(dirtyWays)
			}
		case <-w.kick:
			if !planned {
				planned = true
				next.Reset(max(settle, time.Until(rested)))
			}
		case <-next.C:
			if !planned {
				w.dirty.Or(uint32(dirtyWays | dirtySight))
			}
			planned = false
			start := time.Now()
			next.Reset(w.look(k, start))
			rested = time.Now().Add(min(loadFactor*time.Since(start), maxRest))
		}
	}
}

// first takes the first look at flows, at once, so that what happens next is a change. It reports
// whether it could.
func (w *Watcher) first(k *kernel) bool {
	s, now := w.sight, time.Now()
	if s == nil || dirty(w.dirty.Load())&dirtySight != 0 {
		var err error
		if s, _, err = k.sight(); err != nil {
			return false
		}
	}
	whole := true
	for _, f := range w.due(0) {
		seen, err := k.way(f.flow, s)
		if err != nil || !s.knows(seen) {
			whole = false
			continue
		}
		w.take(f, seen, s, now)
	}
	return whole
}

// look does what is due, and returns when to look again without an event.
func (w *Watcher) look(k *kernel, now time.Time) (again time.Duration) {
	what := dirty(w.dirty.Swap(0))
	w.looks.Add(1)
	if what&dirtySight != 0 || w.sight == nil {
		s, whole, err := k.sight()
		if err != nil {
			w.log.Warn("cannot list interfaces and addresses, trying again", "err", err)
			w.dirty.Or(uint32(what | dirtySight | dirtyWays))
			return retryAfter
		}
		if !whole {
			w.see(dirtySight)
			if w.cuts++; w.sight != nil && w.cuts <= cutsAtMost {
				w.dirty.Or(uint32(what | dirtyWays))
				return auditEvery // what was seen tells of the next look
			}
		}
		w.sight, w.cuts, what = s, 0, what|dirtyWays
	}
	again = auditEvery
	newer := false
	for _, f := range w.due(what) {
		seen, err := k.way(f.flow, w.sight)
		if err != nil {
			if !isTemporary(err) {
				w.log.Warn("cannot look up the way to a peer, trying again", "remote", f.remote.Addr(), "err", err)
			}
			again = min(again, retryAfter)
			continue
		}
		if !w.sight.knows(seen) {
			w.see(dirtySight) // it is newer
			continue
		}
		if !newer && seen.errno != 0 && f.way.known && !f.way.isLost() { // perhaps by an interface that has gone since
			newer = true
			if s, whole, err := k.sight(); err == nil && whole {
				w.sight = s
			}
		}
		again = min(again, w.take(f, seen, w.sight, now))
	}
	return again
}

// due returns the flows to look at.
func (w *Watcher) due(what dirty) (all []*follow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range w.follows {
		if what&dirtyWays != 0 || !f.way.known {
			all = append(all, f)
		}
	}
	return all
}

// take compares what was seen with what was so before, and tells. It returns when to look again.
func (w *Watcher) take(f *follow, seen way, s *sight, now time.Time) time.Duration {
	if f.sized != nil {
		if seen.errno == 0 && seen.mtu > 0 && seen.mtu != f.way.mtu {
			f.way = seen
			f.sized(seen.mtu)
		}
		f.way.known = true
		return auditEvery
	}
	if doubt := f.doubt(f.way, seen, s); doubt == 0 {
		f.doubtful = time.Time{}
	} else if f.way.known && f.way.idle == "" {
		if f.doubtful.IsZero() {
			f.doubtful = now
		}
		if left := doubt - now.Sub(f.doubtful); left > 0 {
			return left
		}
	}
	v, why := judge(f.flow, f.way, seen, s)
	f.way = seen
	if v != same {
		f.changed(v == lost, why)
	}
	return auditEvery
}

// doubt is for how long what was seen may be about to change again.
func (f flow) doubt(before, now way, s *sight) time.Duration {
	switch {
	case f.device != "":
		return 0
	case now.errno == 0 && now.idle == noCarrier && (!f.local.Addr().IsValid() || now.homeRuns):
		return hopeFor
	case before.known && !before.isLost() && s.idle(before.index) == "" && before.homed == now.homed && before.homeRuns == now.homeRuns &&
		(now.errno != 0 || now.index != before.index || now.gateway != before.gateway):
		return routesSettle
	}
	return 0
}
