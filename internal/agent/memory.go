package agent

import (
	"net/netip"
	"time"
)

const (
	// A peer that is back has announced by then what it has to announce.
	announcesWithin = time.Minute
	// A session that ended may be shown as established a moment longer than its
	// prefixes are.
	goneFor = 2 * time.Second
)

// memory holds the prefixes that were learned from peers with unreachable = true, so
// that they take no other way while the peer is gone. The loop owns it.
type memory struct {
	prefixes map[netip.Prefix]*remembered
	of       map[string]int // how many, by peer
	touched  *touched       // the prefixes that came and went
}

type remembered struct {
	peer string    // the last that it was learned from
	gone time.Time // since when the peer is there and does not announce it; zero: it does, or is not there
}

func newMemory(t *touched) memory {
	return memory{prefixes: map[netip.Prefix]*remembered{}, of: map[string]int{}, touched: t}
}

// learn takes note that the prefix is learned from peer. most bounds what is
// remembered of one peer: at it, what is not learned any more is forgotten. learned says what is.
func (m memory) learn(prefix netip.Prefix, peer string, most int, learned func(netip.Prefix) bool) {
	if r := m.prefixes[prefix]; r != nil {
		if r.peer == peer {
			r.gone = time.Time{}
			return
		}
		m.drop(prefix)
	}
	if m.of[peer] >= most {
		for p, r := range m.prefixes {
			if r.peer == peer && !learned(p) {
				m.drop(p)
			}
		}
	}
	m.touched.add(prefix)
	m.prefixes[prefix] = &remembered{peer: peer}
	m.of[peer]++
}

// peers returns all prefixes that are remembered, with the peers that they were learned from last.
func (m memory) peers() map[netip.Prefix]string {
	of := make(map[netip.Prefix]string, len(m.prefixes))
	for p, r := range m.prefixes {
		of[p] = r.peer
	}
	return of
}

func (m memory) drop(prefix netip.Prefix) {
	peer := m.prefixes[prefix].peer
	m.touched.add(prefix)
	delete(m.prefixes, prefix)
	if m.of[peer]--; m.of[peer] == 0 {
		delete(m.of, peer)
	}
}

// sweep forgets what a peer has withdrawn: a session with it is up, and has been for long
// enough. since says since when each peer has one.
func (m memory) sweep(now time.Time, learned func(netip.Prefix) bool, since map[string]time.Time) {
	for prefix, r := range m.prefixes {
		began, there := since[r.peer]
		switch {
		case learned(prefix) || !there || now.Sub(began) < announcesWithin:
			r.gone = time.Time{}
		case r.gone.IsZero():
			r.gone = now
		case now.Sub(r.gone) >= goneFor:
			m.drop(prefix)
		}
	}
}

// forget forgets what was learned from peers for which keep is false.
func (m memory) forget(keep func(peer string) bool) {
	for prefix, r := range m.prefixes {
		if !keep(r.peer) {
			m.drop(prefix)
		}
	}
}
