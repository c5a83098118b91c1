package judge

import (
	"encoding/binary"
	"net/netip"
)

// Accepted reports whether the peer announces p now and it was handed on.
func (s *Session) Accepted(p netip.Prefix) bool {
	f, key := fromNetip(p)
	e, ok := s.tables[f].get(key)
	return ok && e.verdict() == accepted
}

// fromNetip is the inverse of prefix.netip. p is valid and no IPv4-mapped one.
func fromNetip(p netip.Prefix) (family int, key prefix) {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return IPv4, prefix{hi: uint64(binary.BigEndian.Uint32(a[:])) << 32, bits: uint64(p.Bits())}.masked()
	}
	a := p.Addr().As16()
	return IPv6, prefix{binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:]), uint64(p.Bits())}.masked()
}
