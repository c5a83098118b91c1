package config

import (
	"fmt"
	"testing"
)

// TestSecretEnds checks that the two ends of a secret take different key pairs,
// by what both of them know.
func TestSecretEnds(t *testing.T) {
	const router = "name = \"r\"\nasn = %d\nrouter_id = \"10.0.0.1\"\n"
	const peer = "[bgp]\nasn = %d\nimport = []\n[tunnel]\ntransport = \"wireguard\"\nremotes = [\"192.0.2.1:51820\"]\nsecret_file = \"b.secret\"\n"
	const ends = "address = [\"%s\"]\npeer_address = \"%s\"\n"
	for _, c := range []struct {
		name      string
		own, peer int
		more      string
		first     bool
	}{
		{"lower AS", 64512, 64513, "", true},
		{"higher AS", 64513, 64512, "", false},
		{"the AS counts before addresses", 64513, 64512, fmt.Sprintf(ends, "fe80::1/64", "fe80::2"), false},
		{"lower address", 64512, 64512, fmt.Sprintf(ends, "fe80::1/64", "fe80::2"), true},
		{"higher address", 64512, 64512, fmt.Sprintf(ends, "fe80::2/64", "fe80::1"), false},
		{"the other half of a /31", 64512, 64512, "address = [\"10.0.0.1/31\"]\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := load(t, setUp(t, fmt.Sprintf(router, c.own), map[string]string{
				"peers.d/b.toml": fmt.Sprintf(peer, c.peer) + c.more,
			}))
			if got := cfg.Peers[0].Tunnels[0].Trust; got.Method != TrustSecret || got.First != c.first {
				t.Errorf("first: %v, want %v", got.First, c.first)
			}
		})
	}
}

func TestWireGuardDefaults(t *testing.T) {
	cfg := load(t, setUp(t, "asn = 64512\nrouter_id = \"10.0.0.1\"\n", map[string]string{
		"peers.d/b.toml": peerText + "transport = \"wireguard\"\nremotes = [\"192.0.2.1:51820\"]\nsecret_file = \"b.secret\"\n",
	}))
	want := Tunnel{
		Transport: TransportWireGuard, Remotes: []Remote{{"192.0.2.1", 51820}}, Trust: cfg.Peers[0].Tunnels[0].Trust,
		Interface: "b", MTU: 1420, Probe: ProbeICMP, Keepalive: defaultKeepalive, DeadAfter: defaultDeadAfter,
		RemoteOrder: RemotesListed, ConnectTimeout: defaultConnectTimeout, Weight: 1,
	}
	if got := cfg.Peers[0].Tunnels[0]; !got.Equal(want) {
		t.Errorf("tunnel %+v", got)
	}
	if cfg.WireGuard.ListenPort != 0 {
		t.Errorf("port %d without listen_port", cfg.WireGuard.ListenPort)
	}
}
