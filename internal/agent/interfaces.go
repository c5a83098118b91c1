package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"syscall"

	"warren/internal/config"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/tlslink"
	"warren/tunnel/tun"
)

// aliasPrefix marks the interfaces that are ours (`ip link` shows the alias),
// so that those a killed daemon left behind are known.
const aliasPrefix = "warren:"

func isOurs(_, alias string) bool { return strings.HasPrefix(alias, aliasPrefix) }

// controller marks sockets so that they keep to the underlay.
type controller interface {
	Control(device string) func(network, address string, c syscall.RawConn) error
}

// interfaces makes the tunnels of a real machine.
type interfaces struct {
	endpoint *tlslink.Endpoint
	guard    controller
	log      *slog.Logger
}

// Open makes the TUN interface of a peer, sets it up and starts its transport.
func (i *interfaces) Open(cfg config.Peer, report reporter) (openTunnel, error) {
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
	return runLink(l, t.Interface, report.failed), nil
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
	ifname string
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// runLink runs the link until Close. If it ends by itself before, because the
// device is gone, failed is called.
func runLink(l *tlslink.Link, ifname string, failed func(error)) *runningLink {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &runningLink{Link: l, ifname: ifname, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		if err := l.Run(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}()
	return r
}

func (r *runningLink) SetAddresses(a []netip.Prefix) error { return link.SetAddresses(r.ifname, a) }

// Close tells the peer why, and returns when the interface is gone.
func (r *runningLink) Close(reason string) {
	r.cancel(errors.New(reason))
	<-r.done
}
