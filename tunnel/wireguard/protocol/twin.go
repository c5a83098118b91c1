package protocol

import (
	"net/netip"
	"time"
)

// twin finds out about another machine that has the key of the peer. Each of the two takes
// the other's session away with every handshake, and where the peer is changes with it. A peer
// that moves does not go back and forth with handshakes, and one of two ways to it is used
// with one session.
type twin struct {
	spoke  time.Time      // when the peer was heard last where it is, initiations aside; zero: not yet
	visits [3]visit       // of the initiations that were answered, the latest first
	at     netip.AddrPort // of the machine that is refused; invalid: there is none
	heard  time.Time      // when it was last
}

type visit struct {
	from netip.AddrPort
	at   time.Time
}

const (
	// twinTurns is how long two machines may take for their two turns each: they begin a
	// handshake 5 s after they have lost their session at the earliest, and 25 s at the
	// latest while they have something to send.
	twinTurns = 2 * time.Minute
	// twinMemory is how long a machine is refused after it was heard last.
	twinMemory = 4 * time.Minute
)

// isTwinLocked takes note of an initiation that is authentic and new, and reports whether it
// is to be refused: whoever has a session that works keeps it.
func (p *Peer) isTwinLocked(now time.Time, from netip.AddrPort) bool {
	t := &p.twin
	if now.Sub(t.heard) >= twinMemory {
		t.at, t.heard = netip.AddrPort{}, time.Time{}
	}
	v := &t.visits
	turns := v[0].from != from && v[1].from == from && v[2].from == v[0].from && now.Sub(v[2].at) < twinTurns
	works := from != p.endpoint && p.current.sendable(now, 1) && now.Sub(t.spoke) < rekeyTimeout
	if works && (turns || t.at == from) {
		t.at, t.heard = from, now
		return true
	}
	if t.at == from {
		t.at, t.heard = netip.AddrPort{}, time.Time{}
	}
	v[2], v[1], v[0] = v[1], v[0], visit{from, now}
	return false
}
