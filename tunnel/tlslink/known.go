package tlslink

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// Bounds on the addresses that are known of one link.
const (
	maxSeen            = 4  // where its peer was, last
	maxRemoteAddresses = 16 // of one of its remotes
)

// known are the sources that peers are expected from: those that remotes resolve to,
// and those that peers have been at. Its methods may be called from any goroutine.
type known struct {
	mu    sync.Mutex
	count map[netip.Addr]int // by how many of a link's
}

// whereabouts are what one link adds to known. They are guarded by its mutex.
type whereabouts struct {
	seen    []netip.Addr // sources, the latest first
	remotes map[string][]netip.Addr
	over    bool // the link is gone
}

// has reports whether peers are expected at an address.
func (k *known) has(a netip.Addr) bool { return k.at(a) > 0 }

// at returns how many peers are: several may be behind one address.
func (k *known) at(a netip.Addr) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count[source(a)]
}

// sawPeer notes where the peer of a link has proved to be.
func (k *known) sawPeer(w *whereabouts, a netip.Addr) {
	src := source(a)
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.over || len(w.seen) > 0 && w.seen[0] == src {
		return
	}
	seen := slices.DeleteFunc(slices.Clone(w.seen), func(s netip.Addr) bool { return s == src })
	seen = slices.Insert(seen, 0, src)
	k.replace(w.seen, seen[:min(len(seen), maxSeen)])
	w.seen = seen[:min(len(seen), maxSeen)]
}

// resolved notes the addresses of one of a link's remotes.
func (k *known) resolved(w *whereabouts, name string, addrs []netip.AddrPort) {
	var sources []netip.Addr
	for _, a := range addrs[:min(len(addrs), maxRemoteAddresses)] {
		sources = append(sources, source(a.Addr()))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.over {
		return
	}
	k.replace(w.remotes[name], sources)
	if w.remotes == nil {
		w.remotes = make(map[string][]netip.Addr)
	}
	w.remotes[name] = sources
}

// forget takes back all that a link has added.
func (k *known) forget(w *whereabouts) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.replace(w.seen, nil)
	for _, sources := range w.remotes {
		k.replace(sources, nil)
	}
	*w = whereabouts{over: true}
}

func (k *known) replace(old, with []netip.Addr) {
	if k.count == nil {
		k.count = make(map[netip.Addr]int)
	}
	for _, a := range with {
		k.count[a]++
	}
	for _, a := range old {
		if k.count[a]--; k.count[a] == 0 {
			delete(k.count, a)
		}
	}
}

// lookup resolves a remote of a link, and has its addresses known. Those beside an error are what it had last.
func (l *Link) lookup(ctx context.Context, name string) ([]netip.AddrPort, error) {
	addrs, err := l.names.Resolver(l.resolve)(ctx, "tcp", name)
	if err == nil {
		l.e.gate.known.resolved(&l.whereabouts, name, addrs)
	}
	return addrs, err
}

// lookupAll resolves all remotes of a link. Each round of dialing resolves those that it
// gets to again.
func (l *Link) lookupAll(ctx context.Context) {
	for _, name := range l.cfg.Remotes {
		_, _ = l.lookup(ctx, name) // the dial says what is wrong with it
	}
}
