package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/link"
	"warren/internal/speaker"
	"warren/tunnel"
)

// peer is one configured peer and what exists for it now. Only the loop's
// goroutine uses it.
type peer struct {
	cfg     config.Peer
	tunnel  openTunnel   // nil until it could be opened
	session *session     // nil while the tunnel is down
	ends    []netip.Addr // of the last session, if there was one: the interface keeps its addresses
	err     error        // what has to be tried again: opening, or adding the neighbor
	opened  time.Time    // when the tunnel was
	mended  time.Time    // when the log last said that the interface was mended
}

// session is the time from a tunnel's coming up to its going down.
type session struct {
	generation  uint64         // tells it from the tunnel's other sessions
	local, peer netip.Addr     // the two ends inside the tunnel, between which BGP is spoken
	ipv6, ipv4  ends           // where they are derived: those of both pairs; else not valid
	noIPv6      bool           // the interface cannot have IPv6
	fallback    func()         // ends the listening for a peer that has no IPv6; nil: there is none
	rtt         time.Duration  // of the tunnel when it came up
	ready       bool           // the interface has its addresses: the speaker is to have the neighbor
	addresses   []netip.Prefix // what the interface was given
	addressed   time.Time      // when it was
}

// openTunnel is a tunnel interface, and what works it or watches it.
type openTunnel interface {
	Status() tunnel.Status
	// Ends returns the two addresses inside the tunnel for the session that
	// the event began; link-local ones have a zone. Where they are derived, which are
	// IPv6 ones, beside is the pair for an end without IPv6; else it is not valid.
	Ends(tunnel.Event) (local, peer netip.Addr, beside ends)
	// SetAddresses gives the interface the addresses that a session from one of the local
	// ones needs, and returns what it has then. The error wraps link.ErrNoIPv6 where it
	// cannot have an IPv6 one.
	SetAddresses(locals ...netip.Addr) ([]netip.Prefix, error)
	// Index returns the index of an interface of our own, and 0 for another.
	Index() int
	// Mend puts right what something else changed of an interface of our own,
	// and returns what that was. An error that wraps tun.ErrLost says that the interface
	// has got another name or is in another namespace.
	Mend() (changed []string, err error)
	// Wake is called when the machine woke up from a sleep.
	Wake()
	// SetTrust has the peer known by what the config says of that now. A session stays if its
	// key does. An error leaves all as it was.
	SetTrust(config.Tunnel) error
	// Close ends the session and tells the peer why. An interface of our own
	// is gone when it returns.
	Close(reason string)
}

// tunnelOpener makes the tunnel of a peer.
type tunnelOpener interface {
	Open(config.Peer, reporter) (openTunnel, error)
}

// reporter is how an open tunnel reports to the loop. Its functions may be
// called from any goroutine and do not block.
type reporter struct {
	event  func(tunnel.Event) // it came up or went down
	failed func(error)        // it has ended by itself: the interface is gone
}

// bgpSpeaker is what the loop needs of speaker.Speaker.
type bgpSpeaker interface {
	Want(bgp.Wanted)
	Settle(context.Context) error
	TakeChanges() map[netip.Prefix]bgp.Route
	Neighbors() []bgp.NeighborStatus
	Events() <-chan struct{}
	Status() speaker.Status
	SetLimits(memoryMax int64, restartTime time.Duration)
}

// openAtOnce is how many tunnels are opened at the same time: the kernel takes
// its time to make an interface, most of it waiting.
const openAtOnce = 32

// open makes the peers' interfaces and starts their transports. Failing is
// remembered and tried again: one peer's bad luck, such as an interface name
// that is taken, is no reason to keep the others waiting.
func (l *loop) open(peers []*peer) {
	var opening errgroup.Group
	opening.SetLimit(openAtOnce)
	for _, p := range peers {
		opening.Go(func() error {
			l.openOne(p)
			return nil
		})
	}
	_ = opening.Wait() // each has noted its own error
}

// openOne touches nothing of the loop's but p.
func (l *loop) openOne(p *peer) {
	t, err := l.tunnels.Open(p.cfg, reporter{
		event:  func(ev tunnel.Event) { l.inbox.put(report{p: p, ev: ev}) },
		failed: func(err error) { l.inbox.put(report{p: p, failed: err}) },
	})
	l.troubles.note("make the tunnel", p.cfg.Name, err)
	if err != nil {
		p.err = err
		return
	}
	p.tunnel, p.err, p.opened = t, nil, time.Now()
}

// tunnelUp gives a tunnel that came up its addresses and its neighbor.
func (l *loop) tunnelUp(ctx context.Context, p *peer, ev tunnel.Event) {
	log := l.log.With("peer", p.cfg.Name, "interface", p.cfg.Tunnel.Interface)
	if ev.Remote.IsValid() {
		log = log.With("remote", ev.Remote)
	}
	log.Info("tunnel up")
	l.beginSession(p, ev)
}

// beginSession begins what is over the tunnel, with the addresses that come out of the event.
func (l *loop) beginSession(p *peer, ev tunnel.Event) {
	l.generation++
	p.session = &session{generation: l.generation, rtt: p.tunnel.Status().RTT}
	p.session.local, p.session.peer, p.session.ipv4 = p.tunnel.Ends(ev)
	p.ends = []netip.Addr{p.session.local, p.session.peer}
	if p.session.ipv4.valid() {
		p.session.ipv6 = ends{p.session.local, p.session.peer}
		p.ends = append(p.ends, p.session.ipv4.local, p.session.ipv4.peer)
	}
	l.setHop(p)
	l.setAddresses(p)
}

func withZone(a netip.Addr, ifname string) netip.Addr {
	if a.IsLinkLocalUnicast() && a.Is6() {
		return a.WithZone(ifname)
	}
	return a
}

// setAddresses gives the interface of a tunnel that is up its addresses. It is
// called again until it succeeds.
func (l *loop) setAddresses(p *peer) {
	addresses, err := p.tunnel.SetAddresses(p.session.locals()...)
	if errors.Is(err, link.ErrNoIPv6) && p.session.ipv4.valid() {
		l.withoutIPv6(p)
		addresses, err = p.tunnel.SetAddresses(p.session.locals()...)
	}
	l.troubles.note("start BGP over the tunnel", p.cfg.Name, err)
	if p.err = err; err != nil {
		return
	}
	p.session.addresses, p.session.addressed, p.session.ready = addresses, time.Now(), true
	l.listenBeside(p)
}

// want tells the speaker all that it is to do: a neighbor behind each tunnel that
// is up.
func (l *loop) want() {
	w := bgp.Wanted{Announced: l.own, Protected: l.state.protected}
	for _, p := range l.peers {
		if p.session != nil && p.session.ready {
			w.Neighbors = append(w.Neighbors, p.neighbor())
		}
	}
	l.speaker.Want(w)
}

// neighbor is the peer's side of BGP. There is a session.
func (p *peer) neighbor() bgp.Neighbor {
	imports, exports := policy(p.cfg.BGP.Import), policy(p.cfg.BGP.Export)
	if p.session.noIPv6 {
		imports, exports = onlyIPv4(imports), onlyIPv4(exports)
	}
	return bgp.Neighbor{
		Name:                 p.cfg.Name,
		Generation:           p.session.generation,
		Interface:            p.cfg.Tunnel.Interface,
		LocalAddr:            p.session.local,
		PeerAddr:             p.session.peer,
		Addresses:            p.session.hopAddresses(),
		ASN:                  p.cfg.BGP.ASN,
		Import:               imports,
		Export:               exports,
		RouteReflectorClient: p.cfg.BGP.RouteReflectorClient,
		ClusterID:            p.cfg.BGP.ClusterID,
		ASOverride:           p.cfg.BGP.ASOverride,
		AllowOwnAS:           p.cfg.BGP.AllowOwnAS,

		MaxPrefixes:     p.cfg.BGP.MaxPrefixes,
		HardMaxPrefixes: p.cfg.BGP.HardMaxPrefixes,
		RTT:             p.session.rtt,
	}
}

// tunnelDown takes away what a dead tunnel must not have: its neighbor, and
// with it its routes.
func (l *loop) tunnelDown(ctx context.Context, p *peer, reason string) {
	if p.session == nil {
		return
	}
	l.log.Warn("tunnel down", "peer", p.cfg.Name, "interface", p.cfg.Tunnel.Interface, "reason", reason)
	l.endSession(ctx, p)
}

func (l *loop) endSession(ctx context.Context, p *peer) {
	if p.session == nil {
		return
	}
	p.session.endFallback()
	p.session = nil
	// The kernel first: the routes' way out is gone, whatever BGP thinks.
	l.setHop(p)
	l.want()
}

// tunnelFailed is for a tunnel whose interface something else has removed, renamed or moved
// to another namespace. It is made again with the next retry.
func (l *loop) tunnelFailed(ctx context.Context, p *peer, err error) {
	l.log.Error("the tunnel's interface is gone; making it again", "peer", p.cfg.Name, "err", err)
	l.endSession(ctx, p)
	p.tunnel.Close("the interface is gone")
	p.tunnel, p.err = nil, err
}

// closePeer removes a peer whole: the neighbor with a Cease while the tunnel
// still carries it, then the tunnel.
func (l *loop) closePeer(ctx context.Context, p *peer, reason string) {
	l.endSession(ctx, p)
	l.troubles.forget(p.cfg.Name)
	if p.tunnel == nil {
		return
	}
	p.tunnel.Close(reason)
	p.tunnel = nil
}

// retry tries again what failed before.
func (l *loop) retry(ctx context.Context) {
	if l.listenErr != nil {
		l.setListen()
	}
	if l.portErr != nil {
		l.setPort()
	}
	l.followKeys(ctx)
	var closed []*peer
	for _, p := range l.peers {
		switch {
		case p.tunnel == nil:
			closed = append(closed, p)
		case p.session != nil && !p.session.ready:
			if l.setAddresses(p); p.session.ready {
				l.want()
			}
		}
	}
	l.open(closed)
}

// setListen has the tls transport listen, and remembers what could not be had:
// an address may come later than the daemon, and a port that is taken is no
// reason not to dial.
func (l *loop) setListen() {
	l.listenErr = l.listen.SetListen(l.cfg.TLS.Listen)
	l.troubles.note("listen for peers over TLS", "", l.listenErr)
}

// setPort does the same for the port of the wireguard transport.
func (l *loop) setPort() {
	l.portErr = l.listen.SetPort(l.cfg.WireGuard.ListenPort)
	l.troubles.note("use the port for peers over WireGuard", "", l.portErr)
}

// policy is the config's list of filters in the words of package bgp.
func policy(p config.Policy) bgp.Policy {
	filters := make([]bgp.Filter, 0, len(p.Prefixes))
	for _, f := range p.Prefixes {
		filters = append(filters, bgp.Filter{Prefix: f.Prefix, Ge: f.Ge, Le: f.Le})
	}
	return bgp.Policy{Any: p.Any, Default: p.Default, Own: p.Own, Prefixes: slices.Clip(filters)}
}

// identity is who this router is towards peers that share a secret with it:
// stable over restarts, and different for each router of a network, as
// router IDs must be anyway.
func identity(cfg *config.Config) tunnel.Identity {
	return hashIdentity(fmt.Sprintf("warren router %q %d %s", cfg.Name, cfg.ASN, cfg.RouterID))
}
