package agent

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"warren/internal/config"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/external"
)

// externalTunnel is an interface that something else made, or will make. It is
// left as it is, but for addresses of ours beside its own.
type externalTunnel struct {
	*external.Link
	cfg    config.Tunnel
	cancel context.CancelFunc
	done   chan struct{}
	report func(error) // an address that could not be taken away

	mu       sync.Mutex
	standing bool           // the next daemon is to know what is there: nothing is added
	index    int            // of the interface that something was added to
	added    []netip.Prefix // what was
}

// openExternal follows the interface from now on. It need not exist.
func (i *interfaces) openExternal(name string, t config.Tunnel, report reporter) (tunnelHandle, error) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &externalTunnel{
		cfg: t, cancel: cancel, done: make(chan struct{}),
		report: func(err error) {
			i.log.Warn("an address of ours stays on the interface", "peer", name, "interface", t.Interface, "err", err)
		},
	}
	l, err := external.New(external.Config{
		Name: name, Interface: t.Interface, Look: look,
		Addresses: t.Address, PeerAddress: t.PeerAddress, AddAddresses: e.addAddresses,
		Ping: t.Probe == config.ProbeICMP, Keepalive: t.Keepalive, DeadAfter: t.DeadAfter,
		Now: i.now, Events: report.event, Logger: i.log,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	e.Link = l
	e.takeUp(i.left.takeStanding(name))
	go func() {
		defer close(e.done)
		if err := l.Run(ctx); err != nil && ctx.Err() == nil {
			report.failed(err)
		}
	}()
	return e, nil
}

// SetTrust does nothing: the program that made the interface knows its peer.
func (e *externalTunnel) SetTrust(config.Tunnel) error { return nil }

// Tune does nothing: that program sends the packets.
func (e *externalTunnel) Tune(config.Tunnel) {}

// look sees one interface.
func look(name string) (external.Sight, error) {
	s, err := link.Look(name)
	return external.Sight(s), err
}

// takeUp goes on with what the daemon before has added. What is not configured any more, or on another interface, is taken
// away.
func (e *externalTunnel) takeUp(was leftStanding) {
	stays := func(p netip.Prefix) bool {
		return was.Interface == e.cfg.Interface && slices.Contains(e.cfg.Address, p)
	}
	e.index, e.added = was.Index, slices.DeleteFunc(slices.Clone(was.Added), func(p netip.Prefix) bool { return !stays(p) })
	if err := takeBack(was.Index, slices.DeleteFunc(slices.Clone(was.Added), stays)); err != nil {
		e.report(err)
	}
}

// addAddresses remembers what was added: only that is ours to take away. What
// was added to an interface that is gone went with it.
func (e *externalTunnel) addAddresses(index int, lacking []netip.Prefix) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.standing {
		return nil // the next look is the next daemon's, or comes when this one goes on
	}
	if e.index != index {
		e.takeBackLocked()
		e.index = index
	}
	added, err := link.AddAddresses(e.cfg.Interface, lacking)
	e.added = append(e.added, added...)
	return err
}

// Ends returns this end's address as the interface has it, and the peer's as
// configured.
func (e *externalTunnel) Ends(tunnel.Event) (local, peer netip.Addr, beside ends) {
	return withZone(e.LocalAddress(), e.cfg.Interface), withZone(e.cfg.PeerAddress, e.cfg.Interface), ends{}
}

// SetAddresses has nothing to set: without its address the tunnel would not be
// up.
func (e *externalTunnel) SetAddresses(_, _ []netip.Addr) ([]netip.Prefix, error) {
	return link.Addresses(e.cfg.Interface)
}

// Index returns 0: the interface may be made again at any time, which is followed.
func (e *externalTunnel) Index() int { return 0 }

// Mend has nothing to put right: what the interface is like is its owner's business.
func (e *externalTunnel) Mend() ([]string, error) { return nil, nil }

// Close takes away the addresses that were added.
func (e *externalTunnel) Close(string) {
	e.cancel()
	<-e.done
	e.mu.Lock()
	defer e.mu.Unlock()
	e.takeBackLocked()
}

// takeBackLocked takes away what was added.
func (e *externalTunnel) takeBackLocked() {
	if err := takeBack(e.index, e.added); err != nil {
		e.report(err)
	}
	e.added = nil
}

// stand implements standingTunnel.
func (e *externalTunnel) stand() leftStanding {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.standing = true
	return leftStanding{Interface: e.cfg.Interface, Index: e.index, Added: slices.Clone(e.added)}
}

// carry implements standingTunnel.
func (e *externalTunnel) carry() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.standing = false
}
