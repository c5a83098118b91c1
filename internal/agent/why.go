package agent

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/fib"
	"warren/internal/link"
	"warren/internal/status"
)

// explainTimeout bounds how long the speaker may take to answer.
const explainTimeout = 10 * time.Second

// why is the answer to `warren why`. The loop is asked what it knows, and the speaker and the kernel
// beside it.
func (l *loop) why(ctx context.Context, q status.WhyQuestion) (status.Why, error) {
	var x explainer
	var wrong error
	err := l.ask(ctx, func(context.Context) {
		cfg := *l.cfg
		cfg.Peers = l.peers()
		x = explainer{q: q, cfg: &cfg, leads: l.leads}
		if wrong = x.checkPeers(); wrong == nil {
			x.sides = l.sides()
		}
	})
	if err = cmp.Or(wrong, err); err != nil {
		return status.Why{}, err
	}
	asking, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	if x.is, err = l.speaker.Explain(asking, bgp.Question{Of: q.Of, Address: q.Address, From: q.From}); err != nil {
		return status.Why{}, fmt.Errorf("ask the speaker: %w", err)
	}
	x.tunnel = func(ifname string) (t *status.WhyTunnel, err error) {
		err = l.ask(ctx, func(context.Context) { t = l.whyTunnel(ifname) })
		return t, err
	}
	err = l.ask(ctx, func(context.Context) { x.see(&l.state) })
	if err != nil {
		return status.Why{}, err
	}
	return x.answer()
}

// side is an attachment as `warren why` sees it.
type side struct {
	name   string // of its neighbor
	peer   config.Peer
	ifname string
	link   int
	up     bool   // there is a tunnel, or it is on the network
	state  string // of the BGP session
	err    string // why there is none

	down    bool   // an operator has taken it down
	drained bool   // an operator has drained the peer, or the whole router
	orders  string // what an operator has done with it, in words; "": nothing
}

// sides are all attachments, by peer.
func (l *loop) sides() (all []side) {
	neighbors := map[string]bgp.NeighborStatus{}
	for _, n := range l.speaker.Neighbors() {
		neighbors[n.Name] = n
	}
	for _, peer := range l.peers() {
		p := l.m.peers[peer.Name]
		if p == nil {
			continue
		}
		for _, a := range p.attachments {
			n := neighbors[a.name]
			s := side{name: a.name, peer: peer, ifname: a.ifname(), link: a.cfg.Link, up: a.up(), state: n.State, err: n.LastError}
			if !s.up {
				s.err = l.networkOrTunnelError(a)
			}
			s.down = l.m.orders.Down[peer.Name] != nil
			s.drained, s.orders = l.m.orders.isDrained(peer.Name), l.m.orders.text(peer.Name)
			all = append(all, s)
		}
	}
	return all
}

func (l *loop) networkOrTunnelError(a *attachment) string {
	if a.isLAN() {
		return l.networkStatus(a).LastError
	}
	return l.tunnelStatus(a).LastError
}

// whyTunnel is the tunnel over an interface; nil: there is none.
func (l *loop) whyTunnel(ifname string) (found *status.WhyTunnel) {
	l.m.all(func(a *attachment) {
		if a.isLAN() || a.ifname() != ifname {
			return
		}
		t := status.PeerTunnel{Tunnel: l.tunnelStatus(a), Link: a.cfg.Link}
		l.setWays(&t, a)
		found = t.Why(a.peer.name)
	})
	return found
}

// explainer makes an answer.
type explainer struct {
	q      status.WhyQuestion
	cfg    *config.Config
	leads  func(netip.Addr) (link.Leads, error)
	tunnel func(ifname string) (*status.WhyTunnel, error)
	sides  []side
	is     bgp.Explanation

	// What the loop knows of the prefix.
	protected *bgp.Protected
	down      map[string]bool // interfaces that routes cannot use
	used      map[string]bool // and those that its routes use
	nowhere   netip.Prefix    // the longest unreachable route of Warren's that the packet's destination is in
}

func (x *explainer) checkPeers() error {
	for _, name := range []string{x.q.From, x.q.To} {
		if name != "" && !slices.ContainsFunc(x.cfg.Peers, func(p config.Peer) bool { return p.Name == name }) {
			return fmt.Errorf("%q: %w; `warren status` lists the peers", name, status.ErrNoPeer)
		}
	}
	return nil
}

// prefix is what it is about: what was asked for, if no prefix has the address.
func (x *explainer) prefix() netip.Prefix {
	if x.is.Prefix.IsValid() {
		return x.is.Prefix
	}
	return x.q.Of
}

// see takes what the loop knows of the prefix.
func (x *explainer) see(s *state) {
	x.protected, x.down, x.used = s.protected, map[string]bool{}, map[string]bool{}
	for ifname := range s.down {
		x.down[ifname] = true
	}
	others, ways := false, desiredFor(s, x.prefix()).Ways
	waits := s.waits(ways)
	for _, way := range ways {
		if s.wayState(way, others, waits) == status.WayUsed {
			x.used[usedName(way)], others = true, true
		}
	}
	for to, bits := x.destination(), x.destination().BitLen(); bits >= 0; bits-- {
		if p, _ := to.Prefix(bits); isUnreachable(s, p) { // the length fits
			x.nowhere = p
			break
		}
	}
}

// usedName tells ways apart: on a network there may be several peers.
func usedName(w fib.Way) string {
	if w.Gateway.IsValid() {
		return w.Interface + " " + w.Gateway.String()
	}
	return w.Interface
}

// destination is where the packet is sent that the kernel is asked about: the address that was asked
// for, or the first of the prefix that a host can have.
func (x *explainer) destination() netip.Addr {
	a := x.q.Of.Addr()
	if !x.q.Address && x.q.Of.Bits() < a.BitLen()-1 {
		return a.Next()
	}
	return a
}

// answer puts all together.
func (x *explainer) answer() (y status.Why, err error) {
	y = status.Why{Candidates: []status.WhyCandidate{}, Refused: []string{}, WouldImport: []string{}, More: x.is.More, Local: x.is.Local}
	if x.is.Prefix.IsValid() {
		y.Prefix = x.is.Prefix.String()
	}
	if x.q.Address {
		y.Address = x.q.Of.Addr().String()
	}
	if y.Local {
		y.LocalBy = key(x.cfg.WhereNetwork(x.is.Prefix), "networks")
		if x.cfg.WhereNetwork(x.is.Prefix) == "" {
			y.LocalBy = "redistribute"
		}
	}
	for _, p := range x.is.Refused {
		y.Refused = append(y.Refused, p.String())
	}
	y.Candidates = append(y.Candidates, x.candidates()...)
	if len(y.Candidates) == 0 {
		y.WouldImport = append(y.WouldImport, x.wouldImport()...)
	}
	if x.q.From != "" {
		y.More = 0
	}
	y.AnnouncedTo, y.NotAnnouncedTo = x.exports()
	y.Kernel, err = x.kernel()
	return y, err
}

// takes reports whether import of a peer would take the prefix.
func (x *explainer) takes(p config.Peer) bool {
	ok, _ := policy(p.BGP.Import).Accepts(x.prefix(), x.protected)
	return ok
}

func (x *explainer) wouldImport() (names []string) {
	for _, p := range x.cfg.Peers {
		if (x.q.From == "" || x.q.From == p.Name) && x.takes(p) {
			names = append(names, p.Name)
		}
	}
	return names
}

// key is how the key is named that decides: with the place where it is written, if it is.
func key(where, name string) string {
	if where == "" {
		return name
	}
	return where + " " + name
}
