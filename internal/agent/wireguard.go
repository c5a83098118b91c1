package agent

import (
	"errors"
	"runtime"
	"time"

	"warren/internal/config"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/wireguard"
	"warren/tunnel/wireguard/protocol"
)

// openWireGuard opens a tunnel of the wireguard transport.
func (i *interfaces) openWireGuard(cfg config.Peer, report reporter) (openTunnel, error) {
	t := cfg.Tunnel
	dev, err := i.openDevice(cfg, min(runtime.GOMAXPROCS(0), maxQueues))
	if err != nil {
		return nil, err
	}
	keys := wireguardKeys(t)
	local := i.wireguard.PublicKey()
	if t.Trust.Method == config.TrustSecret {
		local = keys.PrivateKey.Public()
	}
	own, peer := endpoints(t, tunnel.Identity(local), tunnel.Identity(keys.PeerPublicKey))
	if beside := endpoints4(t, tunnel.Identity(local), tunnel.Identity(keys.PeerPublicKey)); beside.valid() && !link.HasIPv6() {
		own, peer = beside.local, beside.peer
	}
	l, err := i.wireguard.AddLink(wireguard.LinkConfig{
		Name:         cfg.Name,
		PrivateKey:   keys.PrivateKey,
		PublicKey:    keys.PeerPublicKey,
		PresharedKey: keys.PresharedKey,
		Remotes:      dialed(t.Remotes),
		Underlay:     t.Underlay,
		Probe:        t.Probe == config.ProbeICMP,
		PeerAddress:  peer,
		LocalAddress: own,
		Keepalive:    sendEvery(t),
		DeadAfter:    t.DeadAfter,
		Device:       dev,
		Events:       report.event,
	})
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return runTunnel(l, dev, t, report.failed), nil
}

// maxQueues bounds the cores that seal one tunnel's packets.
const maxQueues = 4

// wireguardKeys returns the keys of a tunnel's two ends. Those of a tunnel that
// is known by public key leave the private one out: it is the router's.
func wireguardKeys(t config.Tunnel) wireguard.Keys {
	if t.Trust.Method == config.TrustSecret {
		return wireguard.DeriveSecret(t.Trust.Secret, uint16(t.Link), t.Trust.First)
	}
	k := wireguard.Keys{PeerPublicKey: t.Trust.PublicKey}
	copy(k.PresharedKey[:], t.Trust.PresharedKey)
	return k
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
