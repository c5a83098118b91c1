package judge

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
)

// Attributes are what routes to one prefix are compared by (RFC 4271 section 9.1.2.2).
type Attributes struct {
	LocalPref uint32 // 100 where the peer says none; as Policy has it, and 0 for GRACEFUL_SHUTDOWN from eBGP (RFC 8326)
	Path      string // AS_PATH with AS numbers of four octets, AS4_PATH merged in
	Length    int    // of the path: a set counts as one
	FirstAS   uint32 // of the path, 0 if it is empty
	Origin    uint8
	MED       uint32 // 0 where the peer says none
	Reflected int    // how many reflectors it has passed: the length of CLUSTER_LIST (RFC 4456 section 9)
	Stale     bool   // LLGR_STALE (RFC 9494): the worst there is
}

const defaultLocalPref = 100

// Communities with a meaning for the comparison.
const (
	communityShutdown  = 0xffff0000 // GRACEFUL_SHUTDOWN, RFC 8326
	communityLLGRStale = 0xffff0006 // RFC 9494
)

// Attributes returns those of the route to p, and false if the peer does not announce p
// now or it was not handed on.
func (s *Session) Attributes(p netip.Prefix) (a Attributes, ok bool) {
	f, key := fromNetip(p)
	e, ok := s.tables[f].get(key)
	if !ok || e.verdict() != accepted {
		return a, false
	}
	return s.attributesIn(s.attrs.blob(e.attrs)), true
}

// attributesIn are those in a blob of an attrTable.
func (s *Session) attributesIn(blob string) (a Attributes) {
	a.LocalPref = defaultLocalPref
	var shutdown bool
	var path, four string
	eachAttribute(blob, func(typ uint8, v string) {
		switch typ {
		case attrOrigin:
			a.Origin = v[0]
		case attrASPath:
			path = v
		case attrAS4Path:
			four = v
		case attrMED:
			a.MED = be32(v)
		case attrLocalPref:
			a.LocalPref = be32(v)
		case attrClusterList:
			a.Reflected = len(v) / 4
		case attrCommunities:
			for ; len(v) > 0; v = v[4:] {
				shutdown = shutdown || be32(v) == communityShutdown
				a.Stale = a.Stale || be32(v) == communityLLGRStale
			}
		}
	})
	if a.LocalPref = s.localPref(a.LocalPref); shutdown && !s.internal() && !s.cfg.Policy.Drained {
		a.LocalPref = 0
	}
	s.setPath(&a, path, four)
	return a
}

// internal reports whether the session is iBGP.
func (s *Session) internal() bool { return s.cfg.LocalASN == s.cfg.PeerASN }

// be32 is binary.BigEndian.Uint32 of a string.
func be32(v string) uint32 {
	return uint32(v[0])<<24 | uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3])
}

// setPath sets what a says of the path. The usual path, of one AS_SEQUENCE with AS
// numbers of four octets, costs no memory.
func (s *Session) setPath(a *Attributes, path, four string) {
	if s.asWidth() == 4 && (len(path) == 0 || path[0] == asSequence && len(path) == 2+4*int(path[1])) {
		if a.Path = path; len(path) > 0 {
			a.Length, a.FirstAS = int(path[1]), be32(path[2:])
		}
		return
	}
	var p asPath
	p.parse([]byte(path), s.asWidth(), false) // the judge has written it
	if four != "" {
		var narrow, wide asPath
		narrow = p
		wide.parse([]byte(four), 4, false)
		if p = (asPath{}); !p.merge(&narrow, &wide) {
			p = narrow
		}
	}
	a.Path, a.Length = string(p.appendTo(nil, 4)), p.length()
	if len(p.as) > 0 {
		a.FirstAS = p.as[0]
	}
}

// eachAttribute calls f with the type and the value of each attribute in a blob of
// attrTable.
func eachAttribute(blob string, f func(typ uint8, v string)) {
	for b := attributesOf(blob); len(b) > 0; {
		typ, head, n := b[1], 3, int(b[2])
		if b[0]&flagExtended != 0 {
			head, n = 4, int(b[2])<<8|int(b[3])
		}
		f(typ, b[head:head+n])
		b = b[head+n:]
	}
}

// attributesOf returns the attributes in a blob, but for MP_REACH_NLRI.
func attributesOf(blob string) string {
	if blob[0] == formNextHop {
		return blob[1:]
	}
	return blob[reachPrefix:]
}

// raised adds a preference to a LOCAL_PREF. 0 stays, since it asks to use another path (RFC
// 8326 section 4.1).
func raised(localPref, by uint32) uint32 {
	if localPref == 0 {
		return 0
	}
	return localPref + min(by, math.MaxUint32-localPref)
}

// localPref is what the policy makes of the peer's LOCAL_PREF.
func (s *Session) localPref(is uint32) uint32 {
	if s.cfg.Policy.Drained {
		return s.cfg.Policy.DrainedPref
	}
	return raised(is, s.cfg.Policy.Preference)
}

// preferred returns a blob with the LOCAL_PREF that the policy makes of the peer's:
// over iBGP, since a speaker takes none from eBGP.
func (s *Session) preferred(blob string) string {
	if !s.internal() || s.cfg.Policy.Preference == 0 && !s.cfg.Policy.Drained {
		return blob
	}
	all := attributesOf(blob)
	at := len(blob) - len(all)
	for b := all; len(b) > 0 && b[1] <= attrLocalPref; {
		head, n := 3, int(b[2])
		if b[0]&flagExtended != 0 {
			head, n = 4, int(b[2])<<8|int(b[3])
		}
		if b[1] == attrLocalPref {
			out := []byte(blob)
			binary.BigEndian.PutUint32(out[at+head:], s.localPref(be32(b[head:])))
			return string(out)
		}
		at, b = at+head+n, b[head+n:]
	}
	// It has none, which goes before those of higher types, as writeRoute has it.
	const size = 3 + 4
	out := append(make([]byte, 0, len(blob)+size), blob[:at]...)
	out = appendAttributeHeader(out, attrLocalPref, 0, 4)
	out = binary.BigEndian.AppendUint32(out, s.localPref(defaultLocalPref))
	if blob[0] != formNextHop {
		binary.BigEndian.PutUint16(out[reachPrefix-2:], binary.BigEndian.Uint16(out[reachPrefix-2:])+size)
	}
	return string(append(out, blob[at:]...))
}

// repeat hands on once more what is accepted, since it is handed on with another
// preference than before.
func (s *Session) repeat(f int) {
	type item struct {
		waiter
		id attrID
	}
	t := &s.tables[f]
	items := make([]item, 0, t.accepted)
	t.each(func(p prefix, e entry) {
		if e.verdict() == accepted {
			items = append(items, item{waiter{p, e.arrival()}, e.attrs})
		}
	})
	// Those that have their attributes in common go into one message.
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.arrival, b.arrival))
	})
	for _, i := range items {
		s.out.announce(f, i.prefix, i.id)
	}
}
