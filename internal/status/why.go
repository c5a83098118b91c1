package status

import (
	"errors"
	"fmt"
	"net/netip"
)

// WhyQuestion is what `warren why` asks.
type WhyQuestion struct {
	Of      netip.Prefix // masked
	Address bool         // Of is one address, and the longest prefix that it is in is meant
	From    string       // a peer, whose candidates alone are wanted; "": all
	To      string       // a peer, about which alone it is wanted whether it is told; "": all
}

// ErrNoPeer says that there is no peer of a name that was asked for.
var ErrNoPeer = errors.New("there is no such peer")

// Why is the answer: what became of the routes to a prefix.
type Why struct {
	Prefix     string         `json:"prefix"`
	Address    string         `json:"address"` // that was asked about; "": a prefix was
	Local      bool           `json:"local"`   // this router announces it itself
	LocalBy    string         `json:"local_by"`
	Candidates []WhyCandidate `json:"candidates"`
	More       int            `json:"more"` // so many other candidates are left out
	// Refused are longer prefixes that the address is in, which peers announce and which are not used.
	Refused []string `json:"refused_longer"`
	// WouldImport has the peers whose import would take the prefix, where there is no candidate.
	WouldImport    []string    `json:"would_import"`
	Kernel         WhyKernel   `json:"kernel"`
	AnnouncedTo    []string    `json:"announced_to"`
	NotAnnouncedTo []WhyExport `json:"not_announced_to"`
}

// WhyCandidate is a peer's route to the prefix.
type WhyCandidate struct {
	Peer      string `json:"peer"`
	Interface string `json:"interface"`
	Link      int    `json:"link"`
	Verdict   string `json:"verdict"`
	Reason    string `json:"reason"`
	By        string `json:"by"`   // FILE:LINE KEY, or KEY alone where its default decides; "": no key does
	Step      string `json:"step"` // of the decision, that made it the best, or made it lose; ""

	// Attributes as they are compared; Origin is "" where they are not known.
	Origin      string   `json:"origin"`
	ASPath      string   `json:"as_path"`
	LocalPref   uint32   `json:"local_pref"`
	MED         uint32   `json:"med"`
	NextHop     string   `json:"next_hop"`
	Communities []string `json:"communities"`
	Stale       bool     `json:"stale"`
}

// WhyKernel is what the kernel does with a packet.
type WhyKernel struct {
	To    string `json:"to"`    // the packet's destination
	Route string `json:"route"` // in the words of ip(8); "": none
	Owned bool   `json:"owned"` // Warren has written it
	Owner string `json:"owner"` // has written it: what the protocol stands for
	Text  string `json:"text"`  // why it goes nowhere; "": it does not

	Tunnel *WhyTunnel `json:"tunnel,omitempty"` // through which the packet goes; absent: through none of Warren's
}

// WhyTunnel is the tunnel that a packet goes through.
type WhyTunnel struct {
	Peer      string `json:"peer"`
	Interface string `json:"interface"`
	Link      int    `json:"link"`
	Transport string `json:"transport"`
	State     string `json:"state"`
	// Of a tunnel over two transports, as in PeerTunnel; absent while it is down.
	CarriedBy    string `json:"carried_by,omitempty"`
	CarriedSince *Time  `json:"carried_since,omitempty"`
	CarriedWhy   string `json:"carried_why,omitempty"`
}

// Why is t as a packet's way.
func (t *PeerTunnel) Why(peer string) *WhyTunnel {
	return &WhyTunnel{
		Peer: peer, Interface: t.Interface, Link: t.Link, Transport: t.Transport, State: t.State,
		CarriedBy: t.CarriedBy, CarriedSince: t.CarriedSince, CarriedWhy: t.CarriedWhy,
	}
}

// WhyExport is why a peer is not told the prefix.
type WhyExport struct {
	Peer   string `json:"peer"`
	Reason string `json:"reason"`
	By     string `json:"by"`
}

// ParseWhy reads what is asked about: a prefix or an address.
func ParseWhy(text string) (q WhyQuestion, err error) {
	if text == "" {
		return q, errors.New("a prefix, as 10.2.0.0/24, or an address is needed")
	}
	q.Of, err = ParseRoutesOf(text)
	if err != nil {
		return q, err
	}
	if q.Of.Addr().Is4In6() {
		return q, fmt.Errorf("%s is IPv4-mapped, and no such prefix is ever announced: write the IPv4 one", q.Of)
	}
	_, notAddress := netip.ParseAddr(text)
	q.Address = notAddress == nil
	return q, nil
}
