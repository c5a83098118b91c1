package judge

import (
	"encoding/binary"
	"net/netip"
)

// NextHop returns the next hop of the route to p, without a zone, and false if the peer does
// not announce p now or it was not handed on.
func (s *Session) NextHop(p netip.Prefix) (hop netip.Addr, ok bool) {
	f, key := fromNetip(p)
	e, ok := s.tables[f].get(key)
	if !ok || e.verdict() != accepted {
		return hop, false
	}
	return nextHopIn(s.attrs.blob(e.attrs)), true
}

// nextHopIn is the next hop in a blob of an attrTable.
func nextHopIn(blob string) netip.Addr {
	if blob[0] == formReach {
		return netip.AddrFrom16([16]byte([]byte(blob[1:17])))
	}
	for b := []byte(blob[1:]); ; {
		head, n := 3, int(b[2])
		if b[0]&flagExtended != 0 {
			head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
		}
		if b[1] == attrNextHop {
			return netip.AddrFrom4([4]byte(b[head:]))
		}
		b = b[head+n:]
	}
}
