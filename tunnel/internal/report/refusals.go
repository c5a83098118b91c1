package report

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"warren/tunnel"
)

// maxRefusals bounds how many sources are remembered. Strangers may forge where they are. Where a peer should be, a
// source gives way only after expectedFor.
const (
	maxRefusals = 32
	expectedFor = 10 * time.Minute
)

// Refusals remembers who was refused and why: the last reason of each source. Its methods
// may be called from any goroutine; the zero value is ready to use.
type Refusals struct {
	mu sync.Mutex
	of map[netip.Addr]*refusal // by network
}

type refusal struct {
	tunnel.Refusal
	expected bool
}

// network is what counts as one source: a /64 belongs to one site, which may use any of its addresses.
func network(source netip.Addr) netip.Addr {
	source = source.Unmap().WithZone("")
	if source.Is6() {
		return netip.PrefixFrom(source, 64).Masked().Addr()
	}
	return source
}

// Note takes a refusal. expected says that the source is one where a peer should be: it
// does not give way to others for a while.
func (r *Refusals) Note(now time.Time, source netip.Addr, reason string, expected bool) {
	r.note(now, source, reason, expected, false)
}

// NoteUnfinished takes a handshake that has not come to its end.
func (r *Refusals) NoteUnfinished(now time.Time, source netip.Addr, reason string, expected bool) {
	r.note(now, source, reason, expected, true)
}

func (r *Refusals) note(now time.Time, source netip.Addr, reason string, expected, unfinished bool) {
	from := network(source)
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.of[from]
	if known == nil {
		if len(r.of) >= maxRefusals && !r.makeRoomLocked(now, expected) {
			return
		}
		if r.of == nil {
			r.of = make(map[netip.Addr]*refusal)
		}
		known = &refusal{}
		r.of[from] = known
	}
	known.Source = source.Unmap().WithZone("")
	known.Reason, known.Last, known.Unfinished, known.expected = reason, now, unfinished, expected
	known.Count++
}

// makeRoomLocked forgets the oldest, and reports whether there was one that may be forgotten.
func (r *Refusals) makeRoomLocked(now time.Time, expected bool) bool {
	var oldest *refusal
	for _, o := range r.of {
		stays := o.expected && !expected && now.Sub(o.Last) < expectedFor
		if !stays && (oldest == nil || o.Last.Before(oldest.Last)) {
			oldest = o
		}
	}
	if oldest == nil {
		return false
	}
	delete(r.of, network(oldest.Source))
	return true
}

// Forget forgets a source: the peer that is there was let in.
func (r *Refusals) Forget(source netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := network(source)
	if o := r.of[from]; o != nil && o.Source == source.Unmap().WithZone("") { // else it was a neighbor of the peer's
		delete(r.of, from)
	}
}

// List returns what is remembered since a moment, the latest first.
func (r *Refusals) List(since time.Time) []tunnel.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []tunnel.Refusal
	for _, o := range r.of {
		if !o.Last.Before(since) {
			all = append(all, o.Refusal)
		}
	}
	slices.SortFunc(all, func(a, b tunnel.Refusal) int {
		return cmp.Or(b.Last.Compare(a.Last), a.Source.Compare(b.Source))
	})
	return all
}
