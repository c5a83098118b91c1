package agent

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/wireguard"
	"warren/tunnel/wireguard/protocol"
)

// openWireGuard opens a tunnel of the wireguard transport.
func (i *interfaces) openWireGuard(name string, t config.Tunnel, report reporter) (tunnelHandle, error) {
	dev, was, err := i.openDevice(name, t, min(runtime.GOMAXPROCS(0), maxQueues))
	if err != nil {
		return nil, err
	}
	var resume *wireguard.Handover
	if was != nil && was.goesOn(t) {
		resume = was.WireGuard
	}
	l, err := i.wireguard.AddLink(i.wireguardConfig(name, t, dev, report, resume))
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	open := runTunnel(l, dev, t, report.failed)
	open.tells = l
	open.setTrust = func(t config.Tunnel) error { return l.SetKeys(wireguardKeys(t)) }
	open.setEnds = l.SetEnds
	open.tune = func(t config.Tunnel) { l.SetMarking(marking(t)) }
	open.handing = handing{
		tell: l.TellRestart,
		leave: func(_ context.Context, n *leftTunnel) (err error) {
			n.WireGuard, err = l.HandOver()
			return err
		},
		carry: l.Carry,
	}
	return open, nil
}

// wireguardConfig is what the wireguard transport is to know of a tunnel.
func (i *interfaces) wireguardConfig(name string, t config.Tunnel, dev wireguard.Device, report reporter, resume *wireguard.Handover) wireguard.LinkConfig {
	offered := report.offered
	if !t.Assigned {
		offered = nil
	}
	return wireguard.LinkConfig{
		Name:      name,
		Peer:      peerOf(name),
		Keys:      wireguardKeys(t),
		Remotes:   dialed(udpRemotes(t)),
		Underlay:  t.Underlay,
		Probe:     t.Probe == config.ProbeICMP,
		Keepalive: sendEvery(t),
		DeadAfter: t.DeadAfter,
		Marking:   marking(t),
		Paths:     i.paths.Socket(unix.IPPROTO_UDP, t.Underlay),
		Device:    dev,
		Events:    report.event,
		Assign:    addressesOf(t.Assign),
		Offered:   offered,
		Meetings:  report.meeting,
		Resume:    resume,
		Lost:      report.lost,
		PeerLost:  report.peerLost,

		RandomOrder:    t.RemoteOrder == config.RemotesRandom,
		ReturnToFirst:  t.ReturnToFirst,
		ConnectTimeout: t.ConnectTimeout,

		AddressesOf: func(local, peer tunnel.Identity) (own, far netip.Addr) {
			if beside := endpoints4(t, local, peer); beside.valid() && !link.HasIPv6() {
				return beside.local, beside.peer
			}
			return endpoints(t, local, peer)
		},
	}
}

// udpRemotes are where WireGuard's packets are sent to.
func udpRemotes(t config.Tunnel) (all []config.Remote) {
	for _, r := range t.Remotes {
		if t.UDPPort != 0 {
			r.Port = t.UDPPort
		}
		if !slices.Contains(all, r) { // two may differ in the port of TCP
			all = append(all, r)
		}
	}
	return all
}

// maxQueues bounds the cores that seal one tunnel's packets.
const maxQueues = 4

// wireguardKeys returns the keys of a tunnel's two ends, of which any will do. Those of a
// tunnel that is known by public keys leave the private one out where it is the router's.
func wireguardKeys(t config.Tunnel) (all []wireguard.Keys) {
	for _, s := range t.Trust.Secrets {
		k := wireguard.DeriveSecret(s.Secret, uint16(t.Link), t.Trust.First)
		k.Name = s.File
		all = append(all, k)
	}
	if i := t.Trust.Invitation; i != nil {
		if last := len(all) - 1; last > 0 {
			all[0].Name = "" // see tlsSecrets
		}
		all[len(all)-1].Invited = invited(i)
	}
	if i := t.Trust.Used; i != nil {
		k := wireguard.DeriveSecret(i.Secret, uint16(t.Link), t.Trust.First)
		k.Name, k.Invited = i.File, tunnel.Used
		all = append(all, k)
	}
	for _, public := range t.Trust.PublicKeys {
		k := wireguard.Keys{PeerPublicKey: public}
		copy(k.PresharedKey[:], t.Trust.PresharedKey)
		copy(k.PrivateKey[:], t.Trust.PrivateKey)
		all = append(all, k)
	}
	return all
}

// sendEvery is after what time without sending the tunnel sends an empty packet.
// The config makes sure that of the two the persistent one is the shorter.
func sendEvery(t config.Tunnel) time.Duration {
	if t.PersistentKeepalive > 0 {
		return t.PersistentKeepalive
	}
	return t.Keepalive
}

// wireguardKey is the router's own key; one that no peer knows if it has none,
// which it then needs for no peer.
func wireguardKey(cfg config.WireGuard) protocol.PrivateKey {
	if cfg.PrivateKey == nil {
		return protocol.NewPrivateKey()
	}
	return protocol.PrivateKey(cfg.PrivateKey)
}
