package report

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"warren/tunnel"
)

// maxRefusals bounds how many sources are remembered. Strangers may forge where they are.
const maxRefusals = 32

// Refusals remembers who was refused and why: the last reason of each source. Its methods
// may be called from any goroutine; the zero value is ready to use.
type Refusals struct {
	mu sync.Mutex
	of map[netip.Addr]*refusal
}

type refusal struct {
	tunnel.Refusal
	expected bool
}

// Note takes a refusal. expected says that the source is one where a peer should be: it
// does not give way to others.
func (r *Refusals) Note(now time.Time, source netip.Addr, reason string, expected bool) {
	source = source.Unmap().WithZone("")
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.of[source]
	if known == nil {
		if len(r.of) >= maxRefusals && !r.makeRoomLocked(expected) {
			return
		}
		if r.of == nil {
			r.of = make(map[netip.Addr]*refusal)
		}
		known = &refusal{Refusal: tunnel.Refusal{Source: source}}
		r.of[source] = known
	}
	known.Reason, known.Last, known.expected = reason, now, expected
	known.Count++
}

// makeRoomLocked forgets the oldest, and reports whether there was one that may be forgotten.
func (r *Refusals) makeRoomLocked(expected bool) bool {
	var oldest *refusal
	for _, o := range r.of {
		if (expected || !o.expected) && (oldest == nil || o.Last.Before(oldest.Last)) {
			oldest = o
		}
	}
	if oldest == nil {
		return false
	}
	delete(r.of, oldest.Source)
	return true
}

// Forget forgets a source: the peer that is there was let in.
func (r *Refusals) Forget(source netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, source.Unmap().WithZone(""))
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
