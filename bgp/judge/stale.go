package judge

// When a connection is lost and the peer is expected back, the routes of the session
// stay, marked as stale (RFC 4724 section 4.2): Retain. Another Session does the
// handshake on the next connection, and takes the routes over: Resume. What the peer
// announces then is not stale any more; what is still stale at the End-of-RIB marker
// of the family, or when the speaker does not want to wait any longer (Expire), is
// withdrawn. Stale routes count towards MaxPrefixes, so that never more are handed
// on, and not towards HardMaxPrefixes, since the peer does not announce them. HardMaxPrefixes
// bounds them for themselves, so that there is twice as much of a family at most: a peer
// may lose its connection again and again, each time with other prefixes.

// Retain marks the routes of the retained families as stale, and appends to dst
// UPDATEs that withdraw those of the others. What was stale before goes too (RFC 4724
// section 4.2), if there is more than HardMaxPrefixes with it.
func (s *Session) Retain(dst []byte) []byte {
	keep, _ := s.Retained()
	s.loops, s.invalid = [2]map[prefix]Loop{}, [2]invalids{} // the peer does not announce them any more
	for f := range s.tables {
		t := &s.tables[f]
		if hard := s.cfg.Policy.HardMaxPrefixes; hard > 0 && t.len() > hard {
			s.sweep(f)
		}
		t.each(func(p prefix, e entry) {
			if !e.stale() {
				e.word |= staleBit
				t.stale++
				t.replace(p, e)
			}
		})
		if !keep[f] {
			s.sweep(f)
		}
	}
	s.partial = nil
	return s.flush(dst)
}

// Resume makes s, in which the handshake is done and nothing else, the continuation of
// from, which Retain was called for: it has from's routes, policy and counts then, and
// from has nothing. What is appended to dst withdraws the routes of families for which
// the peer did not go on forwarding.
func (s *Session) Resume(dst []byte, from *Session) []byte {
	c, last, lastLoop := s.counts, s.last, s.lastLoop
	s.counts, s.last, s.lastLoop = from.counts, from.last, from.lastLoop
	s.counts.Repaired += c.Repaired
	s.counts.Withdrawn += c.Withdrawn
	s.counts.Discarded += c.Discarded
	s.counts.Looped += c.Looped
	if lastLoop.kind != nothing {
		s.lastLoop = lastLoop
	}
	if last.kind != nothing {
		s.last = last
	}
	s.cfg.Policy, s.tables, s.attrs = from.cfg.Policy, from.tables, from.attrs
	from.tables, from.attrs, from.state = [2]table{newTable(IPv4), newTable(IPv6)}, newAttrTable(), closed
	g := s.peer.Graceful()
	for f := range s.tables {
		if !g.Forwarding[f] || !s.negotiated(f) {
			s.sweep(f)
		}
	}
	return s.flush(dst)
}

// Continues reports whether a speaker that was handed the peer's OPEN in from can go
// on with s: nothing that is agreed on by OPENs has changed but what graceful restart
// is about.
func (s *Session) Continues(from *Session) bool {
	a, b := &s.peer, &from.peer
	same := a.ASN == b.ASN && a.RouterID == b.RouterID && a.NextHopIPv6 == b.NextHopIPv6 && a.FourOctetAS == b.FourOctetAS
	same = same && s.Negotiated() == from.Negotiated()
	return same && min(a.HoldTime, s.ours.HoldTime) == min(b.HoldTime, from.ours.HoldTime)
}

// Expire appends to dst UPDATEs that withdraw all stale routes.
func (s *Session) Expire(dst []byte) []byte {
	for f := range s.tables {
		s.sweep(f)
	}
	return s.flush(dst)
}

// endOfRIB takes an End-of-RIB marker: what is stale of the family is not announced
// any more (RFC 4724 section 4.2).
func (s *Session) endOfRIB(dst []byte, f int) []byte {
	s.ended[f] = true
	s.sweep(f)
	return s.flush(dst)
}

// sweep withdraws what is stale of a family, in order of arrival, and lets in those
// that waited for the room.
func (s *Session) sweep(f int) {
	t := &s.tables[f]
	if t.stale == 0 {
		return
	}
	ws := make([]waiter, 0, t.stale)
	t.each(func(p prefix, e entry) {
		if e.stale() {
			ws = append(ws, waiter{p, e.arrival()})
		}
	})
	byArrival(ws)
	gone := make([]prefix, len(ws))
	for i, w := range ws {
		gone[i] = w.prefix
	}
	s.remove(f, gone)
	s.admit(f)
}

// refresh takes the mark from p, whose entry is e, since the peer announces it.
func (t *table) refresh(p prefix, e entry) entry {
	if e.stale() {
		e.word &^= staleBit
		t.stale--
		t.replace(p, e)
	}
	return e
}
