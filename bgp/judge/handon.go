package judge

import "net/netip"

// With Config.Choose a route that is accepted is not handed on before somebody who knows the other
// peers' routes too says so: what a speaker is never going to use it need not hold.

// HandOn appends to dst UPDATEs with those of the prefixes that are accepted, with the attributes that
// they have now.
func (s *Session) HandOn(dst []byte, prefixes []netip.Prefix) []byte {
	for _, name := range prefixes {
		f, p := fromNetip(name)
		t := &s.tables[f]
		e, ok := t.get(p)
		if !ok || e.verdict() != accepted {
			continue
		}
		if !e.handed() {
			e.word |= handedBit
			t.replace(p, e)
		}
		s.out.announce(f, p, e.attrs)
	}
	return s.flushAnnouncements(dst)
}

// Withhold appends to dst UPDATEs that withdraw those of the prefixes that were handed on.
func (s *Session) Withhold(dst []byte, prefixes []netip.Prefix) []byte {
	for _, name := range prefixes {
		f, p := fromNetip(name)
		t := &s.tables[f]
		if e, ok := t.get(p); ok && e.handed() {
			e.word &^= handedBit
			t.replace(p, e)
			s.out.withdrawals[f] = append(s.out.withdrawals[f], p)
		}
	}
	for f := range s.tables {
		dst = s.out.flushWithdrawals(dst, f)
	}
	return dst
}

// Markers appends to dst the End-of-RIB markers that have come. It is to be called when all is decided
// that came before them.
func (s *Session) Markers(dst []byte) []byte {
	for f, is := range s.markers {
		if is {
			dst = appendEndOfRIB(dst, f)
		}
	}
	s.markers = [2]bool{}
	return dst
}
