package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"

	"warren/internal/config"
	"warren/tunnel"
	"warren/tunnel/auto"
	"warren/tunnel/tlslink"
	"warren/tunnel/wireguard"
)

// openAuto opens a tunnel that both transports carry.
func (i *interfaces) openAuto(name string, t config.Tunnel, report reporter) (tunnelHandle, error) {
	dev, was, err := i.openDevice(name, t, min(runtime.GOMAXPROCS(0), tlslink.MaxLanes, maxQueues))
	if err != nil {
		return nil, err
	}
	c := auto.Config{
		Name: name, Device: dev, Dials: len(t.Remotes) > 0, Events: report.event, Offered: report.offered,
		Moved:  func(to auto.Transport, why string) { report.moved(to.String(), why) },
		Logger: i.log,
	}
	if !t.Assigned {
		c.Offered = nil
	}
	resume := &leftTunnel{}
	if was != nil && was.goesOn(t) {
		resume, c.Resume = was, was.Auto
	}
	l := auto.New(c)
	tls, wg, err := i.joinAuto(l, name, inOneOrder(t), report, resume)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	open := runTunnel(l, dev, t, report.failed)
	open.tells = bothTold{tls, wg}
	open.setTrust = func(t config.Tunnel) error {
		return errors.Join(tls.SetTrust(trust(t.Trust)), wg.SetKeys(wireguardKeys(t)))
	}
	open.setEnds = wg.SetEnds
	open.handing = handing{
		tell: wg.TellRestart,
		leave: func(ctx context.Context, n *leftTunnel) (err error) {
			n.Auto = l.HandOver()
			if n.TLS, err = tls.HandOver(ctx); err == nil {
				n.WireGuard, err = wg.HandOver()
			}
			return err
		},
		carry: func() { tls.Carry(); wg.Carry() },
	}
	open.tune = func(t config.Tunnel) {
		tls.SetCongestion(t.Congestion)
		wg.SetMarking(marking(t))
	}
	return open, nil
}

// inOneOrder returns a tunnel whose remotes are in a random order already, where they are to be tried in such a one: both transports
// have to begin with the same. The first stays so if the tunnel returns to it.
func inOneOrder(t config.Tunnel) config.Tunnel {
	if t.RemoteOrder != config.RemotesRandom {
		return t
	}
	t.RemoteOrder, t.Remotes = config.RemotesListed, slices.Clone(t.Remotes)
	others := t.Remotes
	if t.ReturnToFirst && len(others) > 0 {
		others = others[1:]
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	return t
}

// bothTold is the two transports of a tunnel. Each says of itself what it has lost, and tells the peer what any has.
type bothTold [2]toldTunnel

// TellLost implements toldTunnel.
func (b bothTold) TellLost(id tunnel.SessionID) {
	for _, t := range b {
		t.TellLost(id)
	}
}

// TakeLost implements toldTunnel.
func (b bothTold) TakeLost(id tunnel.SessionID) {
	for _, t := range b {
		t.TakeLost(id)
	}
}

// joinAuto makes the two links of a tunnel, which report what is of each of them. With an error neither is left.
func (i *interfaces) joinAuto(l *auto.Link, name string, t config.Tunnel, report reporter, resume *leftTunnel) (*tlslink.Link, *wireguard.Link, error) {
	c := i.tlsConfig(name, t, l.Side(auto.TLS), reporter{event: l.Event(auto.TLS), lost: report.lost, peerLost: report.peerLost}, resume.TLS)
	c.Heard = l.Heard
	tls, err := i.tls.AddLink(c)
	if err != nil {
		return nil, nil, err
	}
	wg, err := i.wireguard.AddLink(i.wireguardConfig(name, t, l.Side(auto.WireGuard),
		reporter{event: l.Event(auto.WireGuard), offered: l.Offered, lost: report.lost, peerLost: report.peerLost}, resume.WireGuard))
	if err != nil {
		// A link that was added has to be run, which takes it away again.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return nil, nil, errors.Join(err, tls.Run(ctx))
	}
	l.Join(tls, wg)
	return tls, wg, nil
}
