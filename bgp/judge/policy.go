package judge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// SetPolicy replaces the policy and appends to dst the UPDATEs that make what
// was handed on equal to what is accepted now. affected limits the look to
// prefixes for which it is true; nil means all. Those that were accepted and
// still pass stay, those that came first if there are too many; then the others
// get in, in order of arrival. With another preference all are handed on once more. The error is a *Notification, as FromPeer's: the
// peer announces more than the new hard limit. dst is not kept.
func (s *Session) SetPolicy(dst []byte, p Policy, affected func(netip.Prefix) bool) ([]byte, error) {
	was := s.cfg.Policy
	otherPreference := p.Preference != was.Preference || p.Drained != was.Drained || p.DrainedPref != was.DrainedPref
	s.cfg.Policy = p
	switch {
	case s.err != nil:
		return dst, s.err
	case s.state == closed:
		return dst, nil
	}
	for f := range s.tables {
		s.refilter(f, affected)
		s.limit(f)
		if otherPreference {
			s.repeat(f)
		}
		s.admit(f)
	}
	dst = s.flush(dst)
	for f := range s.tables {
		if p.HardMaxPrefixes > 0 && s.announces(f) > p.HardMaxPrefixes {
			s.fail(tooMany(f, p.HardMaxPrefixes))
			return dst, s.err
		}
	}
	return dst, nil
}

// refilter asks the filter again. What passes now is made to wait.
func (s *Session) refilter(f int, affected func(netip.Prefix) bool) {
	t := &s.tables[f]
	var lost, gained []waiter
	t.each(func(p prefix, e entry) {
		name := p.netip(f)
		if affected != nil && !affected(name) {
			return
		}
		pass := s.cfg.Policy.Accept != nil && s.cfg.Policy.Accept(name)
		switch v := e.verdict(); {
		case pass == (v != filtered):
		case pass:
			gained = append(gained, waiter{p, e.arrival()})
			t.set(p, e.with(waiting))
		default:
			if v == accepted {
				lost = append(lost, waiter{p, e.arrival()})
			}
			t.set(p, e.with(filtered))
		}
	})
	s.retract(f, lost)
	t.enqueue(gained)
}

// limit makes those wait that came last if more are accepted than may be.
func (s *Session) limit(f int) {
	t, limit := &s.tables[f], s.cfg.Policy.MaxPrefixes
	if limit == 0 || t.accepted <= limit {
		return
	}
	in := make([]waiter, 0, t.accepted)
	t.each(func(p prefix, e entry) {
		if e.verdict() == accepted {
			in = append(in, waiter{p, e.arrival()})
		}
	})
	byArrival(in)
	out := in[limit:]
	for _, w := range out {
		e, _ := t.get(w.prefix)
		t.set(w.prefix, e.with(waiting))
	}
	s.retract(f, out)
	t.enqueue(out)
}

// retract withdraws what was handed on, in order of arrival.
func (s *Session) retract(f int, ws []waiter) {
	byArrival(ws)
	t := &s.tables[f]
	for _, w := range ws {
		e, _ := t.get(w.prefix)
		s.withdrawOne(f, w.prefix, e)
		if e.handed() {
			e.word &^= handedBit
			t.replace(w.prefix, e)
		}
	}
}

// enqueue puts prefixes that have begun to wait into the queue, each at its
// place.
func (t *table) enqueue(ws []waiter) {
	if len(ws) == 0 {
		return
	}
	// The same prefix may have an item from when it waited before.
	t.queue = append(t.alive(), ws...)
	byArrival(t.queue)
	t.queue = slices.CompactFunc(t.queue, func(a, b waiter) bool { return a.arrival == b.arrival })
}

// tooMany is for a peer that announces more than limit prefixes of a family, with
// what RFC 4486 section 4 says to tell it.
func tooMany(f, limit int) *Notification {
	data := []byte{0, byte(f + 1), safiUnicast}
	return &Notification{
		Code: errCease, Subcode: 1, Data: binary.BigEndian.AppendUint32(data, uint32(limit)),
		Text: fmt.Sprintf("the peer announces more than %d %s prefixes (RFC 4486 section 4)", limit, [...]string{"IPv4", "IPv6"}[f]),
	}
}
