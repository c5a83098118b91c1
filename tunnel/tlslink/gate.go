package tlslink

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits on connections that have not yet proved who they are.
const (
	maxStrangers          = 256
	maxStrangersPerSource = 16
	logInterval           = 10 * time.Second // between log lines about one source
	maxLogSources         = 1024
)

// gate bounds what strangers can hold. A source that has its share is refused. When
// all places are taken the oldest goes: a peer is done in a few round trips, so
// what has been there longest is least likely one.
//
// A source is an IPv4 address or an IPv6 /64. All methods may be called from any
// goroutine.
type gate struct {
	now func() time.Time

	mu     sync.Mutex
	guests *list.List // of *guest, oldest first
	count  map[netip.Addr]int
	logged map[netip.Addr]time.Time
}

type guest struct {
	source netip.Addr
	conn   net.Conn
}

func newGate(now func() time.Time) *gate {
	return &gate{now: now, guests: list.New(), count: make(map[netip.Addr]int), logged: make(map[netip.Addr]time.Time)}
}

// source is what limits are counted by.
func source(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		p, err := a.WithZone("").Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return a
}

// enter lets a connection in, or says no. leave must be called once when the
// connection is known or closed.
func (g *gate) enter(conn net.Conn) (leave func(), ok bool) {
	src := source(addrPort(conn.RemoteAddr()).Addr())
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count[src] >= maxStrangersPerSource {
		return nil, false
	}
	if g.guests.Len() >= maxStrangers {
		oldest := g.guests.Front()
		oldest.Value.(*guest).conn.Close()
		g.removeLocked(oldest)
	}
	g.count[src]++
	place := g.guests.PushBack(&guest{source: src, conn: conn})
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.removeLocked(place)
	}, true
}

func (g *gate) removeLocked(place *list.Element) {
	v := place.Value.(*guest)
	if v.conn == nil {
		return // it was made to leave before
	}
	v.conn = nil
	g.guests.Remove(place)
	if g.count[v.source]--; g.count[v.source] == 0 {
		delete(g.count, v.source)
	}
}

// mayLog reports whether a line about this source is due.
func (g *gate) mayLog(a netip.Addr) bool {
	src, now := source(a), g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if last, ok := g.logged[src]; ok && now.Sub(last) < logInterval {
		return false
	}
	if len(g.logged) >= maxLogSources {
		clear(g.logged)
	}
	g.logged[src] = now
	return true
}

// size is how many connections are in.
func (g *gate) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.guests.Len()
}
