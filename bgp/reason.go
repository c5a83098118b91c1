package bgp

import (
	"fmt"
	"net/netip"
)

// A Reason says why Policy.Accepts refused a prefix. The zero Reason is that of
// one which was accepted. It can be compared with ==.
type Reason struct {
	Kind ReasonKind
	By   netip.Prefix // the martian, the own or the reserved prefix, if that is why
}

// ReasonKind is a kind of Reason.
type ReasonKind uint8

// The kinds. ReasonOwn, ReasonInside and ReasonReserved come from Protected.
const (
	_              ReasonKind = iota
	ReasonMartian             // it is a martian, or inside one
	ReasonFiltered            // nothing in the policy matches
	ReasonShort               // `any` alone matches, and it is shorter than that takes
	ReasonOwn                 // it is an own network or a connected prefix
	ReasonInside              // it lies inside one, and no filter that matches does
	ReasonReserved            // it takes addresses of a tunnel or a gateway
)

// Protected reports whether the prefix was refused because it is this router's.
func (r Reason) Protected() bool { return r.Kind >= ReasonOwn }

// String says it to an operator: what was refused comes before it.
func (r Reason) String() string {
	switch r.Kind {
	case ReasonMartian:
		return fmt.Sprintf("is never routed (%s)", r.By)
	case ReasonFiltered:
		return "no filter of import matches it"
	case ReasonShort:
		return `is shorter than "any" takes (/8, IPv6 /16): import it by a filter of its own`
	case ReasonOwn:
		return "is this router's own: a network that it announces, or a connected prefix"
	case ReasonInside:
		return fmt.Sprintf("lies inside %s, which is this router's own: only a filter that lies inside %[1]s too imports it", r.By)
	case ReasonReserved:
		return fmt.Sprintf("takes %s, an address of a tunnel or of a gateway", r.By)
	default:
		return ""
	}
}
