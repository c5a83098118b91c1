package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"warren/internal/config"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/tun"
)

// openDevice makes the TUN interface of a peer, ours and ready to be routed
// into. Its carrier is the transport's business, who also closes it.
//
// was is what the daemon before has left of the tunnel; nil: the interface is new.
func (i *interfaces) openDevice(name string, t config.Tunnel, queues int) (dev *tun.Device, was *leftTunnel, err error) {
	c := tun.Config{
		Name: t.Interface, MTU: t.MTU, Queues: queues, Logger: i.log.With("peer", name),
		Refuse: func(packet []byte) bool { return i.guard.Own(t.Interface, packet) },
	}
	if dev, was = i.adopt(name, c); dev == nil {
		if err := i.removeKernel(t.Interface, func(string) bool { return true }); err != nil {
			return nil, nil, err
		}
		if dev, err = tun.Open(c); err != nil {
			return nil, nil, err
		}
	}
	if was != nil && !was.goesOn(t) {
		// Before the transport is there, which takes it for one without a session.
		err = dev.SetCarrier(false)
	}
	if err = errors.Join(err, setUp(name, t)); err != nil {
		return nil, nil, errors.Join(err, dev.Close())
	}
	return dev, was, nil
}

func setUp(name string, t config.Tunnel) error {
	ifname := t.Interface
	if err := link.SetAlias(ifname, aliasPrefix+name); err != nil {
		return err
	}
	if err := link.Prepare(ifname); err != nil {
		return err
	}
	if err := link.SetUp(ifname, t.MTU); err != nil {
		return err
	}
	// The interface is new and has none. To make sure of that, as SetAddresses does, takes the
	// addresses of all tunnels, for each.
	_, err := link.AddAddresses(ifname, link.WithIPv4(t.Address))
	return err
}

// worker is a transport's side of one tunnel. Run works it until ctx is done,
// whose cause the peer is told if the transport can, and then closes its
// device.
type worker interface {
	Status() tunnel.Status
	Wake()
	Run(context.Context) error
}

// deviceTunnel is a tunnel over an interface of our own, at work.
type deviceTunnel struct {
	worker
	device *tun.Device
	cfg    config.Tunnel // but for Trust
	cancel context.CancelCauseFunc
	done   chan struct{}

	setTrust func(config.Tunnel) error         // of the transport
	tells    toldTunnel                        // likewise
	handing  handing                           // likewise
	tune     func(config.Tunnel)               // likewise
	setEnds  func(local, peer tunnel.Identity) // likewise; nil: its sessions keep their keys
}

// SetTrust has the transport know the peer by other keys.
func (t *deviceTunnel) SetTrust(cfg config.Tunnel) error { return t.setTrust(cfg) }

// Tune has the transport's connections and packets to come use another congestion control and marking.
func (t *deviceTunnel) Tune(cfg config.Tunnel) { t.tune(cfg) }

// TellLost implements toldTunnel.
func (t *deviceTunnel) TellLost(id tunnel.SessionID) { t.tells.TellLost(id) }

// TakeLost implements toldTunnel.
func (t *deviceTunnel) TakeLost(id tunnel.SessionID) { t.tells.TakeLost(id) }

// SetEnds implements keyedTunnel.
func (t *deviceTunnel) SetEnds(local, peer tunnel.Identity) {
	if t.setEnds != nil {
		t.setEnds(local, peer)
	}
}

// runTunnel runs the tunnel until Close. If it ends by itself before, because
// the device is gone, failed is called.
func runTunnel(w worker, dev *tun.Device, cfg config.Tunnel, failed func(error)) *deviceTunnel {
	ctx, cancel := context.WithCancelCause(context.Background())
	t := &deviceTunnel{worker: w, device: dev, cfg: cfg, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		if err := w.Run(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}()
	return t
}

func (t *deviceTunnel) Ends(ev tunnel.Event) (local, peer netip.Addr, beside ends) {
	local, peer = endpoints(t.cfg, ev.Local, ev.Peer)
	return local, peer, endpoints4(t.cfg, ev.Local, ev.Peer)
}

// SetAddresses gives the interface the configured addresses, or else the local ones, each as
// one half of its pair, and beside them the assigned ones. From the local IPv4 one BGP speaks, and nothing else is to. The sysctls go with them: udev may have set them after the
// interface was made, and IPv6 forgets both while the MTU is too small for it.
func (t *deviceTunnel) SetAddresses(locals, assigned []netip.Addr) ([]netip.Prefix, error) {
	return setUpAddresses(t.cfg, t.device.Check, locals, assigned)
}

// setUpAddresses is SetAddresses of all tunnels over interfaces of our own. check makes sure that the interface is still
// the tunnel's.
func setUpAddresses(cfg config.Tunnel, check func() error, locals, assigned []netip.Addr) ([]netip.Prefix, error) {
	addresses := cfg.Address
	var quiet []netip.Prefix
	if len(addresses) == 0 {
		addresses = pairsOf(locals)
		quiet = slices.DeleteFunc(slices.Clone(addresses), func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	addresses = append(slices.Clip(addresses), hosts(assigned)...)
	// Not what else may have its name by now.
	if err := check(); err != nil {
		return addresses, err
	}
	if err := link.Prepare(cfg.Interface); err != nil {
		return addresses, err
	}
	loud := slices.DeleteFunc(slices.Clone(link.WithIPv4(addresses)), func(p netip.Prefix) bool { return slices.Contains(quiet, p) })
	return addresses, link.SetAddresses(cfg.Interface, loud, quiet...)
}

// Index returns the interface's.
func (t *deviceTunnel) Index() int { return t.device.Index() }

// Mend puts right the interface's carrier, its persistence and its owner.
func (t *deviceTunnel) Mend() ([]string, error) { return t.device.Mend() }

// Close returns when the interface is gone.
func (t *deviceTunnel) Close(reason string) {
	t.cancel(errors.New(reason))
	<-t.done
}
