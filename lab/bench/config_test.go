package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"warren/internal/config"
	"warren/internal/keys"
	"warren/lab/topo"
)

// TestConfigurationsAreValid keeps the bench's files in step with what warren
// takes: over either transport the tunnel for the load and two idle ones.
func TestConfigurationsAreValid(t *testing.T) {
	t.Run(transportTLS, func(t *testing.T) { testConfigurations(t, transportTLS, "") })
	t.Run(transportWireGuard, func(t *testing.T) {
		secret := filepath.Join(t.TempDir(), "idle.secret")
		if err := keys.Secret(secret); err != nil {
			t.Fatal(err)
		}
		testConfigurations(t, transportWireGuard, secret)
	})
}

func testConfigurations(t *testing.T, transport, secret string) {
	routers := [2]*topo.Warren{}
	for i := range routers {
		dir := filepath.Join(t.TempDir(), "router") // the test's own has the mode that the umask gives it
		if err := os.MkdirAll(filepath.Join(dir, "peers.d"), 0o700); err != nil {
			t.Fatal(err)
		}
		made, err := keys.Router(dir)
		if err != nil {
			t.Fatal(err)
		}
		routers[i] = &topo.Warren{Dir: dir, Fingerprint: made.Fingerprint, PublicKey: made.WireGuardPublic}
	}
	a, b := routers[0], routers[1]
	if err := configureRouters(a, b, transport); err != nil {
		t.Fatal(err)
	}
	tunnels := []tunnel{{transport: transport, name: "bench", forLoad: true}}
	for link := 1; link <= 2; link++ {
		tunnels = append(tunnels, tunnel{transport: transport, name: fmt.Sprintf("idle%d", link), link: link, secretFile: secret})
	}
	for _, tn := range tunnels {
		if err := configureTunnel(a, b, tn); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range routers {
		c, err := config.Load(w.ConfigFile())
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Peers) != len(tunnels) {
			t.Errorf("%d peers, want %d", len(c.Peers), len(tunnels))
		}
		for _, p := range c.Peers {
			if p.Tunnels[0].Transport != transport {
				t.Errorf("%s: transport %s, want %s", p.Name, p.Tunnels[0].Transport, transport)
			}
		}
	}
}
