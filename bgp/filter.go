package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"warren/martian"
)

// A Filter matches the prefixes inside Prefix whose length is in a range.
//
// With neither Ge nor Le it matches Prefix alone. Ge alone means lengths from
// Ge to the family's longest, Le alone lengths from Prefix's own to Le. Both
// are in bits, 0 means not given, so `0.0.0.0/0 ge 0` is not expressible and
// `0.0.0.0/0 le 32` is every IPv4 prefix.
type Filter struct {
	Prefix netip.Prefix
	Ge, Le int
}

// String returns the filter as it is written in a config: PREFIX [ge N] [le N].
func (f Filter) String() string {
	s := f.Prefix.String()
	if f.Ge != 0 {
		s += fmt.Sprintf(" ge %d", f.Ge)
	}
	if f.Le != 0 {
		s += fmt.Sprintf(" le %d", f.Le)
	}
	return s
}

// Validate says what is wrong with f, if anything: a prefix with host bits
// set, or lengths out of the order Prefix.Bits() <= Ge <= Le <= 32 or 128.
func (f Filter) Validate() error {
	if !f.Prefix.IsValid() {
		return fmt.Errorf("filter %q: no prefix", f)
	}
	if f.Prefix != f.Prefix.Masked() || f.Prefix.Addr().Is4In6() {
		return fmt.Errorf("filter %q: host bits are set; write %s", f, f.Prefix.Masked())
	}
	bits, longest := f.Prefix.Bits(), f.Prefix.Addr().BitLen()
	minLen, maxLen := f.Lengths()
	if f.Ge != 0 && (f.Ge < bits || f.Ge > longest) {
		return fmt.Errorf("filter %q: ge must be from %d to %d", f, bits, longest)
	}
	if f.Le != 0 && (f.Le < bits || f.Le > longest) {
		return fmt.Errorf("filter %q: le must be from %d to %d", f, bits, longest)
	}
	if minLen > maxLen {
		return fmt.Errorf("filter %q: ge is greater than le, so nothing matches", f)
	}
	return nil
}

// Lengths returns the range of prefix lengths that f lets through.
func (f Filter) Lengths() (minLen, maxLen int) {
	minLen, maxLen = f.Prefix.Bits(), f.Prefix.Bits()
	if f.Ge != 0 {
		minLen, maxLen = f.Ge, f.Prefix.Addr().BitLen()
	}
	if f.Le != 0 {
		maxLen = f.Le
	}
	return minLen, maxLen
}

// Matches reports whether p is inside f.Prefix, of the same family, and its
// length in f's range. Host bits of p are ignored.
func (f Filter) Matches(p netip.Prefix) bool {
	if !p.IsValid() || !f.Prefix.IsValid() || p.Addr().BitLen() != f.Prefix.Addr().BitLen() {
		return false
	}
	minLen, maxLen := f.Lengths()
	return p.Bits() >= f.Prefix.Bits() && p.Bits() >= minLen && p.Bits() <= maxLen &&
		f.Prefix.Contains(p.Addr())
}

// A Policy says which prefixes pass in one direction: the union of its parts.
// The zero Policy passes nothing. Martians never pass, whatever it says. On
// export Matches decides, on import Accepts.
type Policy struct {
	Any      bool     // every prefix but the default routes; on import see Accepts
	Default  bool     // 0.0.0.0/0 and ::/0
	Own      bool     // what Wanted.Announced says; means nothing on import
	Prefixes []Filter // and these
}

// String returns the policy as a config's list of words and filters.
func (p Policy) String() string {
	var words []string
	for _, w := range []struct {
		on   bool
		word string
	}{{p.Any, "any"}, {p.Default, "default"}, {p.Own, "own"}} {
		if w.on {
			words = append(words, w.word)
		}
	}
	for _, f := range p.Prefixes {
		words = append(words, f.String())
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// Matches reports whether p passes the policy on export. local says that p is
// announced by this router itself, which is what Own is about.
func (p Policy) Matches(prefix netip.Prefix, local bool) bool {
	if martian.Is(prefix) {
		return false
	}
	if isDefault := prefix.Bits() == 0; p.Default && isDefault || p.Any && !isDefault || p.Own && local {
		return true
	}
	for _, f := range p.Prefixes {
		if f.Matches(prefix) {
			return true
		}
	}
	return false
}

// Accepts reports whether p passes the policy on import, where prot is what must
// not be taken from this router, and if not, why.
//
// Any takes no prefix shorter than /8 (IPv4) or /16 (IPv6). What lies inside an
// own prefix passes only if one of the filters that match has a prefix which
// lies inside it too, or is equal to it: that filter was written with this
// network in mind, which Any, Default and wider filters were not. Where several
// own prefixes contain p, the filter must lie inside the longest of them, and so
// lies inside all.
func (p Policy) Accepts(prefix netip.Prefix, prot *Protected) (bool, Reason) {
	if m, ok := martian.Covering(prefix); ok {
		return false, Reason{ReasonMartian, m}
	}
	against := prot.look(prefix)
	if against.Kind == ReasonOwn || against.Kind == ReasonReserved {
		return false, against
	}
	inside := against.Kind == ReasonInside
	isDefault, short := prefix.Bits() == 0, prefix.Bits() < shortestAny(prefix)
	matched := p.Default && isDefault || p.Any && !short
	if matched && !inside {
		return true, Reason{}
	}
	for _, f := range p.Prefixes {
		if !f.Matches(prefix) {
			continue
		}
		if !inside || f.Prefix.Bits() >= against.By.Bits() {
			return true, Reason{}
		}
		matched = true
	}
	switch {
	case matched:
		return false, against
	case p.Any && !isDefault:
		return false, Reason{Kind: ReasonShort}
	default:
		return false, Reason{Kind: ReasonFiltered}
	}
}

// fewFilters are compared with a prefix one by one.
const fewFilters = 16

// Narrowed is for who asks Accepts of very many prefixes. It returns a function that returns, for a prefix, a policy of which
// Accepts says the same: without the filters that are for other networks. That is good until the next call, and is not for
// several goroutines.
func (p Policy) Narrowed() func(netip.Prefix) Policy {
	if len(p.Prefixes) <= fewFilters {
		return func(netip.Prefix) Policy { return p }
	}
	by, lengths := make(map[netip.Prefix][]Filter), map[int][]int{} // of networks; by length of an address
	for _, f := range p.Prefixes {
		network, family := f.Prefix.Masked(), f.Prefix.Addr().BitLen()
		by[network] = append(by[network], f)
		if !slices.Contains(lengths[family], network.Bits()) {
			lengths[family] = append(lengths[family], network.Bits())
		}
	}
	narrow := p
	return func(prefix netip.Prefix) Policy {
		narrow.Prefixes = narrow.Prefixes[:0:0]
		for _, bits := range lengths[prefix.Addr().BitLen()] {
			if network, err := prefix.Addr().Prefix(bits); err == nil && bits <= prefix.Bits() {
				narrow.Prefixes = append(narrow.Prefixes, by[network]...)
			}
		}
		return narrow
	}
}

// Equal reports whether both policies are written alike.
func (p Policy) Equal(o Policy) bool {
	return p.Any == o.Any && p.Default == o.Default && p.Own == o.Own && slices.Equal(p.Prefixes, o.Prefixes)
}

// Validate reports the first bad filter.
func (p Policy) Validate() error {
	for _, f := range p.Prefixes {
		if err := f.Validate(); err != nil {
			return err
		}
	}
	return nil
}
