package agent

import (
	"context"
	"errors"
	"net/netip"

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

	// What was added, to which interface. Of the goroutine of Run, and of
	// Close when that has ended.
	index int
	added []netip.Prefix
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

// addAddresses remembers what was added: only that is ours to take away. What
// was added to an interface that is gone went with it.
func (e *externalTunnel) addAddresses(index int, lacking []netip.Prefix) error {
	if e.index != index {
		e.takeBack()
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
	e.takeBack()
}

// takeBack takes away what was added, by the interface's index: it may have got
// another name since.
func (e *externalTunnel) takeBack() {
	if len(e.added) == 0 {
		return
	}
	name, err := link.Name(e.index)
	if err == nil {
		err = link.RemoveAddresses(name, e.added)
	}
	if err != nil && !errors.Is(err, link.ErrNotFound) { // gone, and the addresses with it
		e.report(err)
	}
	e.added = nil
}
