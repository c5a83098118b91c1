package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"

	"warren/bgp"
)

// A frame of routes is a sequence of changes, each of a prefix:
//
//  1. The number of a set of ways (a varint): 0 for no ways; that of a set which the
//     frame has defined, counted from 1; or the next number, and the definition follows: how many
//     ways (a varint), and for each four times the number of the neighbor (a varint), plus 1 if
//     the way is in reserve, plus 2 if it has a gateway, which follows: how many bytes of
//     address there are (4 or 16), and the address.
//  2. The family and the length in one byte (IPv4: the length, IPv6: the length and 33), and as
//     many bytes of the address as the length needs.
//
// Most prefixes have the same ways as many others, so that an IPv4 /24 takes five bytes.
const (
	firstLength6 = 33
	lastLength6  = firstLength6 + 128
	maxRoute     = binary.MaxVarintLen32 + 1 + 16
	maxSet       = binary.MaxVarintLen32 + bgp.MaxWays*(binary.MaxVarintLen64+1+16)
)

// maxRoutes bounds a frame of routes, in bytes.
const maxRoutes = 64 << 10

// A Way is bgp.Way.
type Way struct {
	ID      uint32     // of the neighbor; not 0
	Gateway netip.Addr // without a zone, not IPv4-mapped; not valid: there is none
	Reserve bool
}

const (
	flagReserve = 1
	flagGateway = 2
	flagBits    = 2
)

// A RouteWriter makes frames of routes.
type RouteWriter struct {
	frames, payload []byte
	sets            map[string]uint64 // that the frame has defined, as they are written
	set             []byte            // scratch memory
}

// Add adds the change of a prefix, whose address is not IPv4-mapped. There are no two ways of
// a neighbor, bgp.MaxWays at most, and those in reserve come last.
func (w *RouteWriter) Add(ways []Way, p netip.Prefix) {
	if len(w.payload)+maxRoute+maxSet > maxRoutes {
		w.end()
	}
	w.addSet(ways)
	bits, bytes := p.Bits(), (p.Bits()+7)/8
	if p.Addr().Is4() {
		a := p.Addr().As4()
		w.payload = append(append(w.payload, byte(bits)), a[:bytes]...)
		return
	}
	a := p.Addr().As16()
	w.payload = append(append(w.payload, byte(firstLength6+bits)), a[:bytes]...)
}

func (w *RouteWriter) addSet(ways []Way) {
	if len(ways) == 0 {
		w.payload = append(w.payload, 0)
		return
	}
	w.set = binary.AppendUvarint(w.set[:0], uint64(len(ways)))
	for _, way := range ways {
		v := uint64(way.ID) << flagBits
		if way.Reserve {
			v |= flagReserve
		}
		if way.Gateway.IsValid() {
			v |= flagGateway
		}
		w.set = binary.AppendUvarint(w.set, v)
		if way.Gateway.IsValid() {
			w.set = append(w.set, byte(way.Gateway.BitLen()/8))
			w.set = append(w.set, way.Gateway.AsSlice()...)
		}
	}
	if n, ok := w.sets[string(w.set)]; ok {
		w.payload = binary.AppendUvarint(w.payload, n)
		return
	}
	if w.sets == nil {
		w.sets = make(map[string]uint64)
	}
	n := uint64(len(w.sets) + 1)
	w.sets[string(w.set)] = n
	w.payload = append(binary.AppendUvarint(w.payload, n), w.set...)
}

func (w *RouteWriter) end() {
	w.frames = append(appendHeader(w.frames, KindRoutes, len(w.payload)), w.payload...)
	w.payload = w.payload[:0]
	clear(w.sets)
}

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

// A RouteReader takes a payload of routes apart.
type RouteReader struct {
	rest []byte
	sets [][]Way
}

// ReadRoutes returns a reader of a payload, which is not changed while it is read.
func ReadRoutes(payload []byte) *RouteReader { return &RouteReader{rest: payload} }

// More reports whether there are more changes.
func (r *RouteReader) More() bool { return len(r.rest) > 0 }

// Next returns the next change: the number of the set of ways, 0 for none, and the prefix.
func (r *RouteReader) Next() (set int, p netip.Prefix, err error) {
	n, ok := r.varint(uint64(len(r.sets) + 1))
	if !ok {
		return 0, p, errRoute
	}
	if set = int(n); set > len(r.sets) {
		if err := r.define(); err != nil {
			return 0, p, err
		}
	}
	if p, err = r.prefix(); err != nil {
		return 0, p, err
	}
	return set, p, nil
}

// Ways returns the set with a number, which Next has returned.
func (r *RouteReader) Ways(set int) []Way {
	if set == 0 {
		return nil
	}
	return r.sets[set-1]
}

// varint takes a number off that is most at most.
func (r *RouteReader) varint(most uint64) (v uint64, ok bool) {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > most {
		return 0, false
	}
	r.rest = r.rest[n:]
	return v, true
}

// define takes the definition of a set off.
func (r *RouteReader) define() error {
	n, ok := r.varint(bgp.MaxWays)
	if !ok || n == 0 {
		return errRoute
	}
	ways := make([]Way, 0, min(n, uint64(len(r.rest))))
	for range n {
		v, ok := r.varint(math.MaxUint32<<flagBits | flagReserve | flagGateway)
		way := Way{ID: uint32(v >> flagBits), Reserve: v&flagReserve != 0}
		if ok && v&flagGateway != 0 {
			way.Gateway, ok = r.address()
		}
		first := len(ways) == 0
		if !ok || way.ID == 0 || way.Reserve && first || !first && !way.Reserve && ways[len(ways)-1].Reserve {
			return errRoute
		}
		for _, other := range ways {
			if other.ID == way.ID {
				return errRoute
			}
		}
		ways = append(ways, way)
	}
	r.sets = append(r.sets, ways)
	return nil
}

// address takes an address off, with how long it is.
func (r *RouteReader) address() (a netip.Addr, ok bool) {
	if len(r.rest) == 0 {
		return a, false
	}
	n := int(r.rest[0])
	if n != 4 && n != 16 || len(r.rest) < 1+n {
		return a, false
	}
	a, _ = netip.AddrFromSlice(r.rest[1 : 1+n])
	r.rest = r.rest[1+n:]
	return a, !a.Is4In6()
}

// prefix takes a prefix off.
func (r *RouteReader) prefix() (p netip.Prefix, err error) {
	if len(r.rest) == 0 {
		return p, errRoute
	}
	length, b := int(r.rest[0]), r.rest[1:]
	six := length >= firstLength6
	if six {
		length -= firstLength6
	}
	bytes := (length + 7) / 8
	if length > lastLength6-firstLength6 || bytes > len(b) {
		return p, errRoute
	}
	var a [16]byte
	copy(a[:], b[:bytes])
	addr := netip.AddrFrom16(a)
	if !six {
		addr = netip.AddrFrom4([4]byte(a[:4]))
	}
	p = netip.PrefixFrom(addr, length)
	if p != p.Masked() || addr.Is4In6() {
		return p, errRoute
	}
	r.rest = b[bytes:]
	return p, nil
}
