package judge

import (
	"encoding/binary"
	"net/netip"
)

// A prefix is an IPv4 or IPv6 prefix with the host bits zero. An IPv4 address
// is in the upper half of hi.
type prefix struct {
	hi, lo uint64
	bits   uint64
}

// addrBits is the length of an address, by family.
var addrBits = [2]uint64{32, 128}

// masked returns p with its host bits zero.
func (p prefix) masked() prefix {
	// A shift by 64 or more leaves 0.
	hi, lo := ^uint64(0)<<(64-min(p.bits, 64)), ^uint64(0)<<(128-max(p.bits, 64))
	return prefix{p.hi & hi, p.lo & lo, p.bits}
}

// netip returns p as a prefix of family f.
func (p prefix) netip(f int) netip.Prefix {
	if f == IPv4 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(p.hi>>32))
		return netip.PrefixFrom(netip.AddrFrom4(a), int(p.bits))
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], p.hi)
	binary.BigEndian.PutUint64(a[8:], p.lo)
	return netip.PrefixFrom(netip.AddrFrom16(a), int(p.bits))
}

// size is the number of octets of p in an NLRI field.
func (p prefix) size() int { return 1 + int(p.bits+7)/8 }

// appendTo appends p as in an NLRI field (RFC 4271 section 4.3).
func (p prefix) appendTo(dst []byte) []byte {
	var a [17]byte
	a[0] = byte(p.bits)
	binary.BigEndian.PutUint64(a[1:], p.hi)
	binary.BigEndian.PutUint64(a[9:], p.lo)
	return append(dst, a[:p.size()]...)
}

// A field is what an NLRI or Withdrawn Routes field holds.
type field struct {
	prefixes []prefix
	trimmed  bool // host bits were set somewhere
}

func (f *field) reset() { f.prefixes, f.trimmed = f.prefixes[:0], false }

// parse adds the prefixes of a field of the family. It returns what is wrong
// with the syntax, or "" (RFC 7606 section 5.3).
func (f *field) parse(b []byte, family int) string {
	longest := addrBits[family]
	for len(b) > 0 {
		p := prefix{bits: uint64(b[0])}
		if p.bits > longest {
			return "has a prefix length of %d"
		}
		n := p.size()
		if len(b) < n {
			return "ends within a prefix of length %d"
		}
		p.load(b[1:n])
		b = b[n:]
		m := p.masked()
		f.trimmed = f.trimmed || m != p
		f.prefixes = append(f.prefixes, m)
	}
	return ""
}

// load sets the address from its leading octets.
func (p *prefix) load(b []byte) {
	if len(b) <= 4 {
		for i, x := range b {
			p.hi |= uint64(x) << (56 - 8*i)
		}
		return
	}
	var a [16]byte
	copy(a[:], b)
	p.hi, p.lo = binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:])
}
