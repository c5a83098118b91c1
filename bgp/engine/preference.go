package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// What is made of bgp.Neighbor.Preference:
//
//	from an eBGP neighbor  LOCAL_PREF 100 + preference, by a statement of GoBGP's import policy
//	from an iBGP neighbor  the peer's LOCAL_PREF + preference, by the judge
//	to an eBGP neighbor    MED and the own AS prepended (signal), by a statement of the export policy
//	to an iBGP neighbor    LOCAL_PREF + preference (peerConn.Write): GoBGP's policies can only
//	                       set one, and so would undo what another neighbor's preference or
//	                       GRACEFUL_SHUTDOWN has made of it
//
// Nothing of this is there where no neighbor has a preference. What is made of bgp.Neighbor.Drained is in drain.go.

// maxPrepended bounds how often the own AS is prepended: judge.maxWorst leaves room for ten
// times that, or less and a MED.
const maxPrepended = 8

// worstMED is the MED of preference 0.
const worstMED = 255

// A signal is what an eBGP neighbor is told, so that its network prefers the same neighbors
// as this router. The zero signal is nothing.
type signal struct {
	says    bool // there is a MED
	med     uint32
	prepend int // how often the own AS is prepended, besides the one time that is usual
}

// ranks is what signals depend on, nil where no neighbor has a preference or is drained.
type ranks struct {
	says   map[uint32]bool // by AS number: a neighbor there has a preference
	best   map[uint32]int  // by AS number: the highest preference of a neighbor there
	levels []int           // the values in best, each once, the highest first

	stays   map[uint32]bool // by AS number: a neighbor there is not drained
	drained []int           // the preferences of those that are, each once, the lowest first
}

// newRanks makes ranks of all eBGP neighbors that there are, those without a tunnel included.
func newRanks(asn uint32, w *Wanted) *ranks {
	r := &ranks{says: make(map[uint32]bool), best: make(map[uint32]int), stays: make(map[uint32]bool)}
	add := func(other uint32, preference int) {
		if other == asn {
			return
		}
		r.says[other] = r.says[other] || preference != 0
		r.best[other] = max(r.best[other], preference)
	}
	for i := range w.Neighbors {
		n := &w.Neighbors[i]
		add(n.ASN, n.Preference)
		if n.Drained {
			r.drained = append(r.drained, n.Preference)
		} else {
			r.stays[n.ASN] = true
		}
	}
	slices.Sort(r.drained)
	r.drained = slices.Compact(r.drained)
	for _, n := range w.Absent {
		add(n.ASN, n.Preference)
	}
	for _, p := range r.best {
		r.levels = append(r.levels, p)
	}
	slices.SortFunc(r.levels, func(a, b int) int { return cmp.Compare(b, a) })
	if r.levels = slices.Compact(r.levels); len(r.drained) == 0 && (len(r.levels) == 0 || r.levels[0] == 0) {
		return nil
	}
	return r
}

// signal is what n is told.
func (r *ranks) signal(n *Neighbor) (s signal) {
	best, ok := 0, false
	if r != nil {
		best, ok = r.best[n.ASN]
	}
	if !ok {
		return s
	}
	s.prepend = min(slices.Index(r.levels, best), maxPrepended)
	if s.says = r.says[n.ASN]; s.says {
		s.med = worstMED - uint32(n.Preference)
	}
	if n.Drained {
		r.drain(n, &s)
	}
	return s
}

// set names the neighbors that are told s.
func (s signal) set() string {
	if s == (signal{}) {
		return ""
	}
	med := "none"
	if s.says {
		med = fmt.Sprint(s.med)
	}
	return fmt.Sprintf("export-med-%s-prepend-%d", med, s.prepend)
}

func (s signal) actions(asn uint32) *api.Actions {
	a := &api.Actions{}
	if s.says {
		a.Med = &api.MedAction{Type: api.MedAction_TYPE_REPLACE, Value: int64(s.med)}
	}
	if s.prepend > 0 {
		a.AsPrepend = &api.AsPrependAction{Asn: asn, Repeat: uint32(s.prepend)}
	}
	return a
}

// importSet names the neighbors whose paths get a LOCAL_PREF.
func importSet(preference int) string {
	if preference == 0 {
		return ""
	}
	return fmt.Sprintf("import-preference-%d", preference)
}

// importPolicy comes before the one that rejects: GRACEFUL_SHUTDOWN comes last.
const importPolicy = "import-preference"

// preferred is what of a neighbor's preference is in GoBGP.
type preferred struct {
	imports int // bgp.Neighbor.Preference of an eBGP neighbor
	exports signal
	drained rank
}

// setPreference makes what GoBGP does with paths from and to addr equal to want. It
// reports whether exports have changed. What p remembers follows each step, as with set.
func (p *policies) setPreference(ctx context.Context, addr netip.Addr, asn uint32, want preferred) (changed bool, err error) {
	pp := p.peer(addr)
	have := &pp.preferred
	var errs []error
	if have.imports != want.imports {
		lp := &api.Actions{LocalPref: &api.LocalPrefAction{Value: defaultLocalPref + uint32(want.imports)}}
		err := p.replaceTrait(ctx, importPolicy, addr, importSet(have.imports), importSet(want.imports), lp)
		if err == nil {
			have.imports = want.imports
		}
		errs = append(errs, err)
	}
	if have.exports != want.exports {
		changed = true
		err := p.replaceTrait(ctx, nextHopPolicy, addr, have.exports.set(), want.exports.set(), want.exports.actions(asn))
		if err == nil {
			have.exports = want.exports
		}
		errs = append(errs, err)
	}
	if have.drained != want.drained {
		changed = true
		err := p.setDrained(ctx, addr, have.drained, want.drained)
		if err == nil {
			have.drained = want.drained
		}
		errs = append(errs, err)
	}
	return changed, errors.Join(errs...)
}

// replaceTrait takes the neighbor at addr out of one set and puts it into another, each with a
// statement; an empty name is none. After an error it can be called again.
func (p *policies) replaceTrait(ctx context.Context, policy string, addr netip.Addr, from, to string, do *api.Actions) error {
	st := &api.Statement{Name: to, Conditions: &api.Conditions{NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: to}}, Actions: do}
	return p.replaceStatement(ctx, policy, addr, from, to, st)
}

// replaceStatement is replaceTrait with a statement st for to.
func (p *policies) replaceStatement(ctx context.Context, policy string, addr netip.Addr, from, to string, st *api.Statement) error {
	if to != "" {
		if err := p.addTrait(ctx, policy, addr, st); err != nil {
			return err
		}
	}
	if from == "" {
		return nil
	}
	return p.removeTrait(ctx, policy, addr, from)
}

// preferredLocked is what of n's preference is to be in GoBGP.
func (s *Speaker) preferredLocked(n *neighbor) preferred {
	if n.ASN == s.cfg.ASN {
		return preferred{drained: s.wanted.ranks.rank(&n.Neighbor)}
	}
	return preferred{imports: n.Preference, exports: s.wanted.ranks.signal(&n.Neighbor), drained: s.wanted.ranks.rank(&n.Neighbor)}
}

const defaultLocalPref = 100

// outgoing is what is made of LOCAL_PREF in what an iBGP neighbor is sent.
type outgoing struct {
	raise   uint32 // is added
	drained rank   // unless it is notDrained, this is sent instead
}

func (o outgoing) of(is uint32) uint32 {
	switch {
	case o.drained != notDrained:
		return o.drained.localPref()
	case is == 0: // asks to use another path (RFC 8326)
		return 0
	}
	return is + min(o.raise, math.MaxUint32-is)
}

// withLocalPref returns an UPDATE with another LOCAL_PREF, or m itself if it has none.
func withLocalPref(m []byte, o outgoing) []byte {
	const header = gobgp.BGP_HEADER_LENGTH
	if len(m) < header+4 || m[18] != gobgp.BGP_MSG_UPDATE {
		return m
	}
	at := header + 2 + int(binary.BigEndian.Uint16(m[header:])) // behind the withdrawn routes
	if at+2 > len(m) {
		return m
	}
	end := at + 2 + int(binary.BigEndian.Uint16(m[at:]))
	if end > len(m) {
		return m
	}
	for at += 2; at+3 <= end; {
		head, n := 3, int(m[at+2])
		if m[at]&byte(gobgp.BGP_ATTR_FLAG_EXTENDED_LENGTH) != 0 {
			if at+4 > end {
				return m
			}
			head, n = 4, int(binary.BigEndian.Uint16(m[at+2:]))
		}
		if m[at+1] == byte(gobgp.BGP_ATTR_TYPE_LOCAL_PREF) && n == 4 && at+head+n <= end {
			out := slices.Clone(m)
			binary.BigEndian.PutUint32(out[at+head:], o.of(binary.BigEndian.Uint32(m[at+head:])))
			return out
		}
		at += head + n
	}
	return m
}
