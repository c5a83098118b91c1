package protocol

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"
)

// ReceiveRun takes datagrams that came together from an address and lie one after the
// other, each of size bytes but the last, which may be shorter. It appends to got what
// Receive would return for each, in order.
func (m *Machine) ReceiveRun(now time.Time, from netip.AddrPort, b []byte, size int, got []Received) []Received {
	for len(b) > 0 {
		n := dataRun(b, size)
		if n == 0 {
			n = min(size, len(b))
			got = append(got, m.Receive(now, from, b[:n]))
		} else {
			got = m.data(now, from, b[:n], size, got)
		}
		b = b[n:]
	}
	return got
}

// dataRun returns the length of the data messages of one session that b begins with.
func dataRun(b []byte, size int) (n int) {
	for n < len(b) {
		msg := b[n:min(n+size, len(b))]
		if messageType(msg) != typeData || !bytes.Equal(msg[4:8], b[4:8]) {
			break
		}
		n += len(msg)
	}
	return n
}

// data opens data messages of one session. What does not need the peer's lock is done
// before it is taken, so that several goroutines can.
func (m *Machine) data(now time.Time, from netip.AddrPort, b []byte, size int, got []Received) []Received {
	s := m.slot(binary.LittleEndian.Uint32(b[4:])).session
	var refused error
	switch {
	case s == nil:
		refused = errIndex
	case now.Sub(s.created) >= rejectAfterTime:
		refused = errExpired
	}
	if refused != nil {
		for ; len(b) > 0; b = b[min(size, len(b)):] {
			got = append(got, Received{Err: refused})
		}
		return got
	}
	before := len(got)
	got = s.open(b, size, got)
	s.accept(now, from, got[before:])
	return got
}

// accept decides which of the opened packets of a session are new, and notes what they
// say about the peer.
func (s *session) accept(now time.Time, from netip.AddrPort, got []Received) {
	p := s.peer
	p.mu.Lock()
	gone := p.removed || s != p.current && s != p.previous && s != p.next
	fresh, data, top := 0, 0, s.seen.top
	for i := range got {
		r := &got[i]
		switch {
		case r.Err != nil:
		case gone:
			r.Err = errExpired
		case !s.seen.see(r.counter):
			r.Err = errReplay
		default:
			fresh++
			r.Peer = p
			if len(r.Packet) > 0 {
				data++
			}
		}
	}
	p.sent += s.seen.top - top
	p.got += uint64(fresh)
	changed := fresh > 0 && p.acceptedLocked(now, from, s, fresh, data)
	if changed {
		p.unlockChanged()
	} else {
		p.unlock()
	}
	for i := range got {
		r := &got[i]
		if r.Err == nil && len(r.Packet) > 0 {
			r.Packet, r.Err = trimIP(r.Packet)
		} else {
			r.Packet = nil
		}
	}
}

// acceptedLocked notes that packets of a session came from an address, some with data.
// It reports whether that changes which session is current, or where the peer is.
func (p *Peer) acceptedLocked(now time.Time, from netip.AddrPort, s *session, fresh, data int) (changed bool) {
	confirmed := s == p.next
	if confirmed {
		p.unused, p.tries, p.shook = 0, 0, s.created
		p.replaceLocked(&p.previous, p.current)
		p.current, p.next = s, nil
		s.rtt = now.Sub(s.created)
	}
	agreed := p.agreeLocked(s)
	s.alive = s.alive || !confirmed && !agreed || fresh > 1
	// In an older session than the one that is heard come packets that were on their way,
	// and those of another machine with the same key.
	if s == p.previous && p.wasLeftLocked(from) {
		return confirmed || agreed // it says nothing of the peer where that is now
	}
	moved := p.endpoint != from && p.isLatestLocked(now) && (s != p.previous || p.current == nil || !p.current.alive)
	if moved {
		p.endpoint = from
		p.expectLocked()
	}
	if p.endpoint == from {
		p.twin.spoke = now
	}
	p.heardLocked(now, data > 0)
	if data > 1 {
		p.heardLocked(now, true) // it matters whether there was more than one
	}
	p.spoke = later(p.spoke, now)
	p.lastMinuteLocked(now, s)
	return confirmed || agreed || moved
}
