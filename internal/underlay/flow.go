package underlay

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// flow is what a packet says of where it goes.
type flow struct {
	ipProto  uint8
	src, dst netip.AddrPort
}

// flowOf reads where a packet goes. A fragment but the first has no ports.
func flowOf(p []byte) (f flow, ok bool) {
	var src, dst netip.Addr
	var ports []byte
	if p[0]>>4 == 4 {
		n := int(p[0]&15) * 4
		if n < 20 || len(p) < n+4 || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return f, false
		}
		f.ipProto, ports = p[9], p[n:]
		src, dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	} else {
		f.ipProto, ports = p[6], p[40:]
		src, dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		if f.ipProto == unix.IPPROTO_FRAGMENT {
			if len(p) < 52 || binary.BigEndian.Uint16(p[42:])&^7 != 0 {
				return f, false
			}
			f.ipProto, ports = p[40], p[48:]
		}
	}
	f.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(ports))
	f.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(ports[2:]))
	return f, f.ipProto == unix.IPPROTO_TCP || f.ipProto == unix.IPPROTO_UDP
}

// bits is a set of hashes that may have more in it than was put there.
type bits [filterBits / 64]atomic.Uint64

func (b *bits) add(hash uint64) { b[hash>>58].Or(1 << (hash >> 52 % 64)) }

func (b *bits) has(hash uint64) bool { return b[hash>>58].Load()&(1<<(hash>>52%64)) != 0 }

// golden spreads what is multiplied with it over the upper bits (Knuth, The Art of
// Computer Programming, 6.4).
const golden = 0x9e3779b97f4a7c15

// hash4 and hash6 hash the address at b.
func hash4(b []byte) uint64 { return uint64(binary.BigEndian.Uint32(b)) * golden }

func hash6(b []byte) uint64 {
	return (binary.BigEndian.Uint64(b)*golden ^ binary.BigEndian.Uint64(b[8:])) * golden
}

func hashOf(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return hash4(b[:])
	}
	b := a.As16()
	return hash6(b[:])
}

func (e end) hash() uint64 {
	h := uint64(e.port) ^ uint64(e.ipProto)<<16
	if e.addr.IsValid() {
		h ^= hashOf(e.addr)
	}
	return h * golden
}
