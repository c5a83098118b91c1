package judge

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Seen is what became of a prefix that the peer announces.
type Seen uint8

// What can have become of one.
const (
	SeenNot      Seen = iota // the peer does not announce it, as far as is known
	SeenAccepted             // it was handed on
	SeenFiltered             // Policy.Accept refuses it
	SeenWaiting              // it is over MaxPrefixes
	SeenLooped               // it has been here before
	SeenInvalid              // it is malformed, and treated as withdrawn; of many such ones only some are known
)

// A Sight is what is known of a prefix that the peer announces.
type Sight struct {
	Seen Seen
	Loop Loop   // of SeenLooped
	Text string // of SeenInvalid: what is wrong, printable ASCII

	// The rest is of SeenAccepted, SeenFiltered and SeenWaiting.
	Stale       bool
	Attributes  Attributes
	NextHop     netip.Addr // without a zone
	Communities []string   // standard and large ones as they are usually written, maxShown at most
	RouteOrigin netip.Addr // the first by an IPv4 address, a router ID, in EXTENDED COMMUNITIES (RFC 4360 section 5); not valid: none
}

// maxShown bounds what is listed of a route.
const maxShown = 32

// Look returns what is known of a prefix.
func (s *Session) Look(p netip.Prefix) (is Sight) {
	f, key := fromNetip(p)
	if e, ok := s.tables[f].get(key); ok {
		blob := s.attrs.blob(e.attrs)
		is.Seen = seen(e.verdict())
		is.Stale, is.Attributes, is.NextHop, is.Communities = e.stale(), s.attributesIn(blob), nextHopIn(blob), communitiesIn(blob)
		is.RouteOrigin = routeOriginIn(blob)
		return is
	}
	if l := s.loops[f][key]; l != notLooped {
		return Sight{Seen: SeenLooped, Loop: l}
	}
	if n := s.invalid[f][key]; n != nil {
		return Sight{Seen: SeenInvalid, Text: n.String()}
	}
	return is
}

func seen(v verdict) Seen {
	return [...]Seen{filtered: SeenFiltered, waiting: SeenWaiting, accepted: SeenAccepted}[v]
}

// EachCovering calls f with each prefix that the address a is in and the peer announces, the longest
// first.
func (s *Session) EachCovering(a netip.Addr, f func(p netip.Prefix, is Seen)) {
	for bits := a.BitLen(); bits >= 0; bits-- {
		p, _ := a.Prefix(bits) // the length fits
		fam, key := fromNetip(p)
		switch e, ok := s.tables[fam].get(key); {
		case ok:
			f(p, seen(e.verdict()))
		case s.loops[fam][key] != notLooped:
			f(p, SeenLooped)
		case s.invalid[fam][key] != nil:
			f(p, SeenInvalid)
		}
	}
}

// PathText is Attributes.Path in words: AS numbers, those of a set in braces. The end of a long
// one is left out.
func (a *Attributes) PathText() string {
	var p asPath
	p.parse([]byte(a.Path), 4, false) // the judge has written it
	var words []string
	as := p.as
	for _, s := range p.segments {
		numbers := make([]string, s.n)
		for i, x := range as[:s.n] {
			numbers[i] = strconv.FormatUint(uint64(x), 10)
		}
		if s.typ == asSet {
			numbers = append(append([]string{"{"}, numbers...), "}")
		}
		words, as = append(words, numbers...), as[s.n:]
	}
	if len(words) > maxShown {
		words = append(words[:maxShown], "...")
	}
	return strings.Join(words, " ")
}

// communitiesIn lists the communities in a blob of an attrTable.
func communitiesIn(blob string) (all []string) {
	eachAttribute(blob, func(typ uint8, v string) {
		for len(v) > 0 && len(all) < maxShown {
			switch typ {
			case attrCommunities:
				all, v = append(all, communityText(be32(v))), v[4:]
			case attrLargeCommunity:
				all, v = append(all, fmt.Sprintf("%d:%d:%d", be32(v), be32(v[4:]), be32(v[8:]))), v[12:]
			default:
				return
			}
		}
	})
	return all
}

// routeOrigin is how an extended community begins that is a route origin by an IPv4 address: transitive (RFC 4360 sections 3.2
// and 5).
const routeOrigin = "\x01\x03"

// routeOriginIn is Sight.RouteOrigin of a blob of an attrTable.
func routeOriginIn(blob string) (id netip.Addr) {
	eachAttribute(blob, func(typ uint8, v string) {
		for ; typ == attrExtCommunities && len(v) > 0 && !id.IsValid(); v = v[8:] {
			if strings.HasPrefix(v, routeOrigin) {
				id = netip.AddrFrom4([4]byte([]byte(v[2:6])))
			}
		}
	})
	return id
}

// wellKnownCommunities are communities with a name (IANA, BGP Well-known Communities).
var wellKnownCommunities = map[uint32]string{
	communityShutdown: "GRACEFUL_SHUTDOWN", communityLLGRStale: "LLGR_STALE", 0xffff0007: "NO_LLGR", 0xffff029a: "BLACKHOLE",
	0xffffff01: "NO_EXPORT", 0xffffff02: "NO_ADVERTISE", 0xffffff03: "NO_EXPORT_SUBCONFED", 0xffffff04: "NOPEER",
}

func communityText(c uint32) string {
	if name := wellKnownCommunities[c]; name != "" {
		return name
	}
	return fmt.Sprintf("%d:%d", c>>16, c&0xffff)
}
