package agent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/tunnel"
)

// peer is one configured peer: what BGP is to do with it, and its attachments.
type peer struct {
	name        string
	bgp         config.PeerBGP
	attachments []*attachment // its tunnels, in the order of its file, at least one; or the one that is no tunnel
}

// attachment is one tunnel of a peer, or the network that the peer is on (network.go), and what
// exists for it now. BGP runs over each attachment by itself. The machine owns it.
type attachment struct {
	peer *peer
	// name is that of its BGP neighbor: the peer's for the first, and NAME/1, NAME/2 … for
	// the others. An attachment keeps the name for as long as it is configured, as its BGP
	// session does, also when one before it in the file goes.
	name string
	cfg  config.Tunnel
	lan  config.LAN // set: it is no tunnel, cfg is the zero one, and phase stays phaseClosed
	on   string     // the interface of the network, as it was last; "": of a tunnel, or never found

	phase     phase
	id        uint64       // of the tunnel that is being opened or is open; 0: none
	rekey     bool         // other keys were configured while it was being opened
	tuneLater bool         // another congestion control or marking was
	session   *session     // nil while the tunnel is down
	ends      []netip.Addr // of the last session, if there was one: the interface keeps its addresses
	// assigned are the addresses that the peer assigned, of the last session likewise.
	assigned []netip.Addr
	mended   time.Time // when the log last said that the interface was mended

	resets    resets       // of the tunnel
	sessions  resets       // of BGP
	farewell  bgp.Farewell // what the peer is told when the session ends that there is; kept until the next one
	closedFor string       // why this router has ended the BGP session that was there; "": it has not, as far as is known
}

// phase is how far an attachment's tunnel is:
//
//	         openTunnel           opened
//	closed ─────────────▶ opening ─────────▶ open
//	   ▲                     │ failed           │
//	   └─────────────────────┴──────────────────┘ gone, changed, removed
type phase int

const (
	phaseClosed phase = iota
	phaseOpening
	phaseOpen
)

// session is the time from a tunnel's coming up to its going down.
type session struct {
	number      uint64         // tells it from all others
	generation  uint64         // tells one BGP session over it from the next
	local, peer netip.Addr     // the two ends inside the tunnel, between which BGP is spoken
	ipv6, ipv4  ends           // where they are derived: those of both pairs; else not valid
	noIPv6      bool           // the interface cannot have IPv6
	beside      bool           // a peer that has no IPv6 is listened for
	rtt         time.Duration  // of the tunnel when it came up
	ready       bool           // the interface has its addresses: the speaker is to have the neighbor
	addresses   []netip.Prefix // what the interface was given
	addressed   time.Time      // when it was
	at          place          // of a network: where this router is on it

	told     bool         // the peer has said which addresses it assigns
	offered  []netip.Addr // that is these
	assigned []netip.Addr // those of them that this router takes
	began    time.Time    // when the BGP session began that there was last; see late.go
	inUse    bool         // routes use it beside others; see late.go
	goesOn   bool         // routes of the BGP session before are kept until the next one announces them
	came     time.Time    // when the tunnel came up
	remote   string       // on the underlay, "" if there is none
}

// isLAN reports whether it is a network that the peer is on, and no tunnel.
func (a *attachment) isLAN() bool { return a.lan.IsSet() }

// isExternal reports whether the tunnel is another program's.
func (a *attachment) isExternal() bool { return a.cfg.Transport == config.TransportExternal }

// ifname is the interface that the peer is behind, "" if that is not known.
func (a *attachment) ifname() string {
	if a.isLAN() {
		return cmp.Or(a.on, a.lan.Interface)
	}
	return a.cfg.Interface
}

// up reports whether the tunnel is, or this router is on the peer's network.
func (a *attachment) up() bool { return a.session != nil }

// label is how a line of the log or of a reload begins that is about the attachment.
func (a *attachment) label() string {
	if a.name == a.peer.name {
		return "peer " + a.peer.name
	}
	return fmt.Sprintf("peer %s (%s)", a.peer.name, a.name)
}

// hint is a hint's text about the attachment, which says which of several it is about.
func (a *attachment) hint(text string) string {
	if text == "" || len(a.peer.attachments) == 1 {
		return text
	}
	return "tunnel on interface " + a.cfg.Interface + ": " + text
}

// sharesOf returns what part of the peer's flows, 0 to 1, each of its attachments has, taking all
// prefixes for alike: the far end's preference and what it announces over each have a part in that. While
// nothing is learned from the peer it is what the config says.
func (s *state) sharesOf(p *peer) []float64 {
	shares, total := make([]float64, len(p.attachments)), 0
	for _, o := range s.origins[1:] {
		if o.prefixes == 0 {
			continue
		}
		names, used := s.carrying(o)
		sum := 0
		for _, name := range names[:used] {
			if a := s.attached[name]; a.peer == p.name {
				sum += a.weight
			}
		}
		if sum == 0 {
			continue
		}
		total += o.prefixes
		for i, a := range p.attachments {
			if slices.Contains(names[:used], a.name) {
				shares[i] += float64(o.prefixes) * float64(s.attached[a.name].weight) / float64(sum)
			}
		}
	}
	if total == 0 {
		return p.shares()
	}
	for i := range shares {
		shares[i] /= float64(total)
	}
	return shares
}

// shares returns what part of the peer's flows, 0 to 1, each of its attachments has: by weight
// among those that are up and not in reserve, which are those of the highest preference that
// is up.
func (p *peer) shares() []float64 {
	best, sum := -1, 0
	for _, a := range p.attachments {
		if a.up() {
			best = max(best, a.cfg.Preference)
		}
	}
	used := func(a *attachment) bool { return a.up() && a.cfg.Preference == best }
	for _, a := range p.attachments {
		if used(a) {
			sum += a.cfg.Weight
		}
	}
	shares := make([]float64, len(p.attachments))
	for i, a := range p.attachments {
		if used(a) {
			shares[i] = float64(a.cfg.Weight) / float64(sum)
		}
	}
	return shares
}

// freeName returns the name for a further attachment of a peer.
func freeName(peer string, taken map[string]bool) string {
	for i := 0; ; i++ {
		if name := attachmentName(peer, i); !taken[name] {
			return name
		}
	}
}

// attachmentNames are the names of those that there are; others are nil.
func attachmentNames(all []*attachment) map[string]bool {
	names := map[string]bool{}
	for _, a := range all {
		if a != nil {
			names[a.name] = true
		}
	}
	return names
}

// ends are the two addresses of a tunnel.
type ends struct{ local, peer netip.Addr }

func (e ends) valid() bool { return e.local.IsValid() }

// newSession makes the session that begins between the ends. beside is the pair for an end
// without IPv6, where the ends are derived; else it is not valid.
func newSession(number uint64, e, beside ends, rtt time.Duration) *session {
	s := &session{number: number, generation: number, local: e.local, peer: e.peer, ipv4: beside, rtt: rtt}
	if beside.valid() {
		s.ipv6 = e
	}
	return s
}

// allEnds are the addresses of both ends, of both pairs.
func (s *session) allEnds() []netip.Addr {
	if s.ipv4.valid() {
		return []netip.Addr{s.ipv6.local, s.ipv6.peer, s.ipv4.local, s.ipv4.peer}
	}
	return []netip.Addr{s.local, s.peer}
}

// locals are the addresses that the interface is to have for a session, unless they are
// configured.
func (s *session) locals() []netip.Addr {
	switch {
	case !s.ipv4.valid():
		return []netip.Addr{s.local}
	case s.noIPv6:
		return []netip.Addr{s.ipv4.local}
	}
	return []netip.Addr{s.ipv6.local, s.ipv4.local}
}

// hopAddresses are those of the interface that may be a next hop: not the one that is there
// only for a peer without IPv6.
// Nor assigned ones, which say where packets go to and not how.
func (s *session) hopAddresses() []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(s.addresses), func(p netip.Prefix) bool {
		return p.Addr() == s.ipv4.local && !s.local.Is4() || slices.Contains(s.assigned, p.Addr())
	})
}

// mayHave returns those of some addresses that the interface can have.
func (s *session) mayHave(addrs []netip.Addr) []netip.Addr {
	if !s.noIPv6 {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), netip.Addr.Is6)
}

// derived is the pair that the session would use if both ends had IPv6.
func (s *session) derived() ends {
	if s.ipv4.valid() {
		return s.ipv6
	}
	return ends{s.local, s.peer}
}

// overIPv4 has BGP use the IPv4 addresses.
func (s *session) overIPv4() { s.local, s.peer = s.ipv4.local, s.ipv4.peer }

// pairsOf returns derived addresses, each with the length of the pair that it is of.
func pairsOf(addrs []netip.Addr) []netip.Prefix {
	pairs := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		bits := tunnel.AddressBits
		if a.Is4() {
			bits = tunnel.Address4Bits
		}
		pairs = append(pairs, netip.PrefixFrom(a, bits))
	}
	return pairs
}
