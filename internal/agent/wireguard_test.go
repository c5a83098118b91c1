package agent

import (
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/underlay/paths"
	"warren/tunnel"
	"warren/tunnel/wireguard"
	"warren/tunnel/wireguard/protocol"
)

func TestWireGuardMTUFits(t *testing.T) {
	if config.MaxWireGuardMTU != wireguard.MaxMTU {
		t.Errorf("the config allows %d, the transport %d", config.MaxWireGuardMTU, wireguard.MaxMTU)
	}
}

// The two ends of a secret know each other's key, share the preshared one, and
// derive the same two addresses; another link is another tunnel.
func TestWireGuardKeysOfASecret(t *testing.T) {
	secret := config.Tunnel{Trust: config.Trust{Method: config.TrustSecret, Secrets: []config.SharedSecret{
		{File: "/etc/warren/a-b.secret", Secret: make([]byte, config.SecretSize)},
	}}}
	first, second, other := secret, secret, secret
	first.Trust.First, other.Link = true, 1
	a, b, c := wireguardKeys(first)[0], wireguardKeys(second)[0], wireguardKeys(other)[0]
	if a.Name != "/etc/warren/a-b.secret" {
		t.Errorf("it is called %s", a.Name)
	}
	if a.PeerPublicKey != b.PrivateKey.Public() || b.PeerPublicKey != a.PrivateKey.Public() || a.PresharedKey != b.PresharedKey {
		t.Error("the ends do not fit")
	}
	if c.PrivateKey == b.PrivateKey || c.PresharedKey == b.PresharedKey {
		t.Error("two links have the same keys")
	}
	local, peer := endpoints(first, tunnel.Identity(a.PrivateKey.Public()), tunnel.Identity(a.PeerPublicKey))
	if l, p := endpoints(second, tunnel.Identity(b.PrivateKey.Public()), tunnel.Identity(b.PeerPublicKey)); l != peer || p != local {
		t.Errorf("%v and %v at one end, %v and %v at the other", local, peer, l, p)
	}
}

func TestWireGuardKeysOfAPublicKey(t *testing.T) {
	pub := protocol.NewPrivateKey().Public()
	k := wireguardKeys(config.Tunnel{Trust: config.Trust{Method: config.TrustPublicKey, PublicKeys: [][config.KeySize]byte{pub}}})
	if len(k) != 1 || k[0] != (wireguard.Keys{PeerPublicKey: pub}) {
		t.Errorf("%+v", k)
	}
	psk := make(config.Secret, config.KeySize)
	psk[0] = 1
	k = wireguardKeys(config.Tunnel{Trust: config.Trust{Method: config.TrustPublicKey, PublicKeys: [][config.KeySize]byte{pub, {1}}, PresharedKey: psk}})
	if len(k) != 2 || k[1].PeerPublicKey != (protocol.PublicKey{1}) || k[0].PresharedKey != (protocol.PresharedKey{1}) || k[1].PresharedKey != k[0].PresharedKey {
		t.Errorf("%+v", k)
	}
}

// A tunnel beside others to the same peer may have a private key of its own.
func TestWireGuardKeysOfATunnelWithItsOwn(t *testing.T) {
	own := protocol.NewPrivateKey()
	k := wireguardKeys(config.Tunnel{Trust: config.Trust{Method: config.TrustPublicKey,
		PublicKeys: [][config.KeySize]byte{{1}, {2}}, PrivateKey: own[:]}})
	if len(k) != 2 || k[0].PrivateKey != own || k[1].PrivateKey != own {
		t.Errorf("%+v", k)
	}
}

func TestSendEvery(t *testing.T) {
	for _, c := range []struct{ keepalive, persistent, want time.Duration }{
		{time.Second, 0, time.Second},
		{0, 25 * time.Second, 25 * time.Second},
		{30 * time.Second, 25 * time.Second, 25 * time.Second},
		{0, 0, 0},
	} {
		if got := sendEvery(config.Tunnel{Keepalive: c.keepalive, PersistentKeepalive: c.persistent}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// The transport knows which tunnels lead to one peer: all that its file has, and no others.
func TestWireGuardTunnelsOfOnePeer(t *testing.T) {
	i := &interfaces{paths: new(paths.Watcher)}
	peer := func(attachment string) string {
		return i.wireguardConfig(attachment, config.Tunnel{}, nil, reporter{}, nil).Peer
	}
	if a, b, other := peer(attachmentName("b", 0)), peer(attachmentName("b", 1)), peer(attachmentName("c", 1)); a == "" || a != b || a == other {
		t.Errorf("peers %q and %q, and %q", a, b, other)
	}
}
