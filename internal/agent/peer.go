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
	"warren/tunnel"
)

// addPatience is how long the loop waits for a neighbor that is being closed.
const addPatience = 20 * time.Millisecond

// peer is one configured peer and what exists for it now. Only the loop's
// goroutine uses it.
type peer struct {
	cfg     config.Peer
	tunnel  openTunnel // nil until it could be opened
	session *session   // nil while the tunnel is down
	err     error      // what has to be tried again: opening, or adding the neighbor
}

// session is the time from a tunnel's coming up to its going down.
type session struct {
	local, peer netip.Addr     // the two ends inside the tunnel
	addresses   []netip.Prefix // what the interface was given
	addressed   time.Time      // when it was
	neighbor    bool           // the speaker has the neighbor
	closing     bool           // the last session's neighbor is in the way
}

// openTunnel is a tunnel interface, and what works it or watches it.
type openTunnel interface {
	Status() tunnel.Status
	// Ends returns the two addresses inside the tunnel for the session that
	// the event began; link-local ones have a zone.
	Ends(tunnel.Event) (local, peer netip.Addr)
	// SetAddresses gives the interface the addresses that a session from local
	// needs, and returns what it has then.
	SetAddresses(local netip.Addr) ([]netip.Prefix, error)
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

// speaker is what the loop needs of bgp.Speaker.
type speaker interface {
	AddNeighbor(context.Context, bgp.Neighbor) error
	DeleteNeighbor(ctx context.Context, name string) error
	SetPolicy(ctx context.Context, name string, imp, exp bgp.Policy, maxPrefixes, hardMaxPrefixes int) error
	SetAnnounced(context.Context, []netip.Prefix) error
	SetNeverImport(context.Context, []netip.Prefix) error
	TakeChanges() map[netip.Prefix]bgp.Route
	Neighbors() []bgp.NeighborStatus
	Events() <-chan struct{}
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
	p.tunnel, p.err = t, nil
}

// tunnelUp gives a tunnel that came up its addresses and its neighbor.
func (l *loop) tunnelUp(ctx context.Context, p *peer, ev tunnel.Event) {
	log := l.log.With("peer", p.cfg.Name, "interface", p.cfg.Tunnel.Interface)
	if ev.Remote.IsValid() {
		log = log.With("remote", ev.Remote)
	}
	log.Info("tunnel up")
	p.session = &session{}
	p.session.local, p.session.peer = p.tunnel.Ends(ev)
	l.addNeighbor(ctx, p)
}

func withZone(a netip.Addr, ifname string) netip.Addr {
	if a.IsLinkLocalUnicast() && a.Is6() {
		return a.WithZone(ifname)
	}
	return a
}

// addNeighbor gives the speaker the neighbor behind a tunnel that is up. It is
// called again until it succeeds.
func (l *loop) addNeighbor(ctx context.Context, p *peer) {
	addresses, err := p.tunnel.SetAddresses(p.session.local)
	if err == nil {
		p.session.addresses, p.session.addressed = addresses, time.Now()
		// The neighbor of the tunnel's last session may still be closing, over
		// a path that is dead. Waiting for it would hold up all other peers.
		ctx, cancel := context.WithTimeout(ctx, addPatience)
		defer cancel()
		err = l.speaker.AddNeighbor(ctx, bgp.Neighbor{
			Name:            p.cfg.Name,
			Interface:       p.cfg.Tunnel.Interface,
			LocalAddr:       p.session.local,
			PeerAddr:        p.session.peer,
			Addresses:       addresses,
			ASN:             p.cfg.BGP.ASN,
			Import:          policy(p.cfg.BGP.Import),
			Export:          policy(p.cfg.BGP.Export),
			MaxPrefixes:     p.cfg.BGP.MaxPrefixes,
			HardMaxPrefixes: p.cfg.BGP.HardMaxPrefixes,
			RTT:             p.tunnel.Status().RTT,
		})
	}
	p.session.closing = errors.Is(err, context.DeadlineExceeded)
	if p.session.closing {
		return
	}
	l.troubles.note("start BGP over the tunnel", p.cfg.Name, err)
	p.session.neighbor, p.err = err == nil, err
}

// mendAddresses gives interfaces back what somebody took from them. The kernel
// itself takes IPv6 addresses when an interface is set down, and does not bring
// them back when it is set up; without, its session could never return.
func (l *loop) mendAddresses() {
	have, looked := l.locals.Addresses()
	for _, p := range l.peers {
		// What was set since cannot have been seen.
		if p.session == nil || !p.session.addressed.Before(looked) || !lacks(have[p.cfg.Tunnel.Interface], p.session.addresses) {
			continue
		}
		addresses, err := p.tunnel.SetAddresses(p.session.local)
		if errors.Is(err, link.ErrNotFound) {
			continue // the tunnel itself will tell
		}
		l.troubles.note("give the tunnel's interface its addresses back", p.cfg.Name, err)
		if err != nil {
			p.err = err
			continue
		}
		l.log.Warn("gave the tunnel's interface the addresses back that it had lost", "peer", p.cfg.Name)
		p.err = nil
		p.session.addresses, p.session.addressed = addresses, time.Now()
	}
}

// lacks reports whether one of the wanted addresses is not there.
func lacks(have []netip.Addr, want []netip.Prefix) bool {
	return slices.ContainsFunc(want, func(p netip.Prefix) bool { return !slices.Contains(have, p.Addr()) })
}

// addClosing adds the neighbors that had to wait for their predecessors.
func (l *loop) addClosing(ctx context.Context) {
	for _, p := range l.peers {
		if p.session != nil && p.session.closing {
			l.addNeighbor(ctx, p)
		}
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
	had := p.session.neighbor
	p.session = nil
	// The kernel first: the routes' way out is gone, whatever BGP thinks.
	l.syncRoutes(ctx)
	if !had {
		return
	}
	if err := l.speaker.DeleteNeighbor(ctx, p.cfg.Name); err != nil {
		l.log.Error("cannot end the BGP session", "peer", p.cfg.Name, "err", err)
	}
}

// tunnelFailed is for a tunnel whose interface something else has removed. It
// is made again with the next retry.
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
	var closed []*peer
	for _, p := range l.peers {
		switch {
		case p.tunnel == nil:
			closed = append(closed, p)
		case p.session != nil && !p.session.neighbor:
			l.addNeighbor(ctx, p)
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
