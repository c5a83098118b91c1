package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
)

// A frame of routes is a sequence of changes, each of a prefix: the number of the neighbor that
// the best route comes from, 0 for none (a varint), the family and the length in one byte
// (IPv4: the length, IPv6: the length and 33), and as many bytes of the address as the length
// needs. An IPv4 /24 takes five or six bytes.
const (
	firstLength6 = 33
	lastLength6  = firstLength6 + 128
	maxRoute     = binary.MaxVarintLen32 + 1 + 16
)

// maxRoutes bounds a frame of routes, in bytes.
const maxRoutes = 64 << 10

// A RouteWriter makes frames of routes.
type RouteWriter struct{ frames, payload []byte }

// Add adds the change of a prefix, whose address is not IPv4-mapped.
func (w *RouteWriter) Add(neighbor uint32, p netip.Prefix) {
	if len(w.payload)+maxRoute > maxRoutes {
		w.end()
	}
	w.payload = binary.AppendUvarint(w.payload, uint64(neighbor))
	bits, bytes := p.Bits(), (p.Bits()+7)/8
	if p.Addr().Is4() {
		a := p.Addr().As4()
		w.payload = append(append(w.payload, byte(bits)), a[:bytes]...)
		return
	}
	a := p.Addr().As16()
	w.payload = append(append(w.payload, byte(firstLength6+bits)), a[:bytes]...)
}

func (w *RouteWriter) end() {
	w.frames = append(appendHeader(w.frames, KindRoutes, len(w.payload)), w.payload...)
	w.payload = w.payload[:0]
}

// Size is how many bytes of frames there are.
func (w *RouteWriter) Size() int { return len(w.frames) + len(w.payload) }

// Take returns the frames, and begins again. They are valid until the next Add.
func (w *RouteWriter) Take() []byte {
	if len(w.payload) > 0 {
		w.end()
	}
	frames := w.frames
	w.frames = w.frames[:0]
	return frames
}

var errRoute = errors.New("wire: a malformed route")

// NextRoute takes a change off a payload of routes.
func NextRoute(b []byte) (neighbor uint32, p netip.Prefix, rest []byte, err error) {
	id, n := binary.Uvarint(b)
	if n <= 0 || id > math.MaxUint32 || n == len(b) {
		return 0, p, nil, errRoute
	}
	length, b := int(b[n]), b[n+1:]
	six := length >= firstLength6
	if six {
		length -= firstLength6
	}
	bytes := (length + 7) / 8
	if length > lastLength6-firstLength6 || bytes > len(b) {
		return 0, p, nil, errRoute
	}
	var a [16]byte
	copy(a[:], b[:bytes])
	addr := netip.AddrFrom16(a)
	if !six {
		addr = netip.AddrFrom4([4]byte(a[:4]))
	}
	p = netip.PrefixFrom(addr, length)
	if p != p.Masked() || addr.Is4In6() {
		return 0, p, nil, errRoute
	}
	return uint32(id), p, b[bytes:], nil
}
