package agent

import (
	"context"
	"errors"
	"net/netip"
	"runtime"

	"warren/internal/config"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/tlslink"
	"warren/tunnel/tun"
)

// openTLS makes the TUN interface of a peer, sets it up and starts its
// transport.
func (i *interfaces) openTLS(cfg config.Peer, report reporter) (openTunnel, error) {
	t := cfg.Tunnel
	dev, err := tun.Open(tun.Config{
		Name: t.Interface, MTU: t.MTU, Queues: min(runtime.GOMAXPROCS(0), tlslink.MaxLanes),
		Logger: i.log.With("peer", cfg.Name),
	})
	if err != nil {
		return nil, err
	}
	if err := setUp(cfg); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	l, err := i.endpoint.AddLink(i.linkConfig(cfg, dev, report.event))
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return runLink(l, t, report.failed), nil
}

func (i *interfaces) linkConfig(cfg config.Peer, dev *tun.Device, events func(tunnel.Event)) tlslink.LinkConfig {
	t := cfg.Tunnel
	remotes := make([]string, len(t.Remotes))
	for n, r := range t.Remotes {
		remotes[n] = r.String()
	}
	return tlslink.LinkConfig{
		Name:      cfg.Name,
		Trust:     trust(t.Trust),
		Link:      uint16(t.Link),
		Remotes:   remotes,
		Control:   i.guard.Control(t.Underlay),
		Keepalive: t.Keepalive,
		DeadAfter: t.DeadAfter,
		Device:    dev,
		Events:    events,
	}
}

// trust translates the config's words into the transport's.
func trust(t config.Trust) tlslink.Trust {
	switch t.Method {
	case config.TrustFingerprint:
		return tlslink.Trust{Fingerprint: t.Fingerprint}
	case config.TrustSecret:
		return tlslink.Trust{Secret: t.Secret}
	default:
		return tlslink.Trust{CA: t.CA, PeerName: t.PeerName}
	}
}

// setUp makes a new interface ours and ready to be routed into. Its carrier is
// the transport's business.
func setUp(cfg config.Peer) error {
	name := cfg.Tunnel.Interface
	if err := link.SetAlias(name, aliasPrefix+cfg.Name); err != nil {
		return err
	}
	if err := link.Prepare(name); err != nil {
		return err
	}
	if err := link.SetUp(name, cfg.Tunnel.MTU); err != nil {
		return err
	}
	return link.SetAddresses(name, cfg.Tunnel.Address)
}

// runningLink is a link at work. It owns its device, and closes it at its end.
type runningLink struct {
	*tlslink.Link
	cfg    config.Tunnel
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// runLink runs the link until Close. If it ends by itself before, because the
// device is gone, failed is called.
func runLink(l *tlslink.Link, cfg config.Tunnel, failed func(error)) *runningLink {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &runningLink{Link: l, cfg: cfg, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		if err := l.Run(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}()
	return r
}

func (r *runningLink) Ends(ev tunnel.Event) (local, peer netip.Addr) { return endpoints(r.cfg, ev) }

// SetAddresses gives the interface the configured addresses, or else local as
// one half of its /127.
func (r *runningLink) SetAddresses(local netip.Addr) error {
	addresses := r.cfg.Address
	if len(addresses) == 0 {
		addresses = []netip.Prefix{netip.PrefixFrom(local, tunnel.AddressBits)}
	}
	return link.SetAddresses(r.cfg.Interface, addresses)
}

// Close tells the peer why, and returns when the interface is gone.
func (r *runningLink) Close(reason string) {
	r.cancel(errors.New(reason))
	<-r.done
}
