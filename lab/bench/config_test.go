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
// takes, the tunnel for the load and two idle ones.
func TestConfigurationsAreValid(t *testing.T) {
	routers := [2]*topo.Warren{}
	for i := range routers {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "peers.d"), 0o700); err != nil {
			t.Fatal(err)
		}
		made, err := keys.Router(dir, "bench")
		if err != nil {
			t.Fatal(err)
		}
		routers[i] = &topo.Warren{Dir: dir, Fingerprint: made.Fingerprint}
	}
	a, b := routers[0], routers[1]
	if err := configureRouters(a, b); err != nil {
		t.Fatal(err)
	}
	tunnels := []tunnel{{name: "bench", forLoad: true}}
	for link := 1; link <= 2; link++ {
		tunnels = append(tunnels, tunnel{name: fmt.Sprintf("idle%d", link), link: link})
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
	}
}
