package agent

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/tunnel/tlslink"
)

// openTLS opens a tunnel of the tls transport.
func (i *interfaces) openTLS(name string, t config.Tunnel, report reporter) (tunnelHandle, error) {
	dev, was, err := i.openDevice(name, t, min(runtime.GOMAXPROCS(0), tlslink.MaxLanes))
	if err != nil {
		return nil, err
	}
	var resume *tlslink.Handover
	if was != nil && was.goesOn(t) {
		resume = was.TLS
	}
	l, err := i.tls.AddLink(i.tlsConfig(name, t, dev, report, resume))
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	open := runTunnel(l, dev, t, report.failed)
	open.tells = l
	open.setTrust = func(t config.Tunnel) error { return l.SetTrust(trust(t.Trust)) }
	open.handing = handing{
		leave: func(ctx context.Context, n *leftTunnel) (err error) {
			n.TLS, err = l.HandOver(ctx)
			return err
		},
		carry: l.Carry,
	}
	open.tune = func(t config.Tunnel) { l.SetCongestion(t.Congestion) }
	return open, nil
}

// tlsConfig is what the tls transport is to know of a tunnel.
func (i *interfaces) tlsConfig(name string, t config.Tunnel, dev tlslink.Device, report reporter, resume *tlslink.Handover) tlslink.LinkConfig {
	return tlslink.LinkConfig{
		Name:      name,
		Trust:     trust(t.Trust),
		Link:      uint16(t.Link),
		Remotes:   dialed(t.Remotes),
		Control:   i.guard.Control(t.Underlay),
		Underlay:  t.Underlay,
		Keepalive: t.Keepalive,
		DeadAfter: t.DeadAfter,
		Paths:     i.paths.Socket(unix.IPPROTO_TCP, t.Underlay),
		Device:    dev,
		Events:    report.event,
		Meetings:  report.meeting,
		Assign:    addressesOf(t.Assign),
		Resume:    resume,
		Lost:      report.lost,
		PeerLost:  report.peerLost,

		RandomOrder:    t.RemoteOrder == config.RemotesRandom,
		ReturnToFirst:  t.ReturnToFirst,
		ConnectTimeout: t.ConnectTimeout,
		Congestion:     t.Congestion,
	}
}

// trust translates the config's words into the transport's.
func trust(t config.Trust) tlslink.Trust {
	switch t.Method {
	case config.TrustFingerprint:
		return tlslink.Trust{Fingerprints: t.Fingerprints}
	case config.TrustSecret:
		return tlslink.Trust{Secrets: tlsSecrets(t)}
	default:
		return tlslink.Trust{CA: t.CA, PeerName: t.PeerName}
	}
}

// tlsSecrets are the secrets of a peer, with what comes of an invitation marked. The secret that replaces it has no name meanwhile,
// as sessions outlive a change of what is under a name: another one is another router's.
func tlsSecrets(t config.Trust) []tlslink.Secret {
	secrets := make([]tlslink.Secret, 0, len(t.Secrets))
	for _, s := range t.Secrets {
		secrets = append(secrets, tlslink.Secret{Name: s.File, Key: s.Secret})
	}
	if i := t.Invitation; i != nil {
		last := len(secrets) - 1
		if last > 0 {
			secrets[0].Name = ""
		}
		secrets[last].Invited = invited(i)
	}
	return secrets
}
