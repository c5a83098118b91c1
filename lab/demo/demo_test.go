package main

import (
	"os"
	"path/filepath"
	"testing"

	"warren/internal/config"
	"warren/internal/keys"
	"warren/lab/topo"
)

// TestConfigurationsAreValid keeps the demo's files in step with what warren takes.
func TestConfigurationsAreValid(t *testing.T) {
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
		routers[i] = &topo.Warren{Dir: dir, Fingerprint: made.Fingerprint}
	}
	for _, e := range ends(routers[0], routers[1]) {
		if err := e.write(); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(e.w.ConfigFile())
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Peers) != 1 || c.Peers[0].Name != e.s.peer {
			t.Errorf("%s: peers %+v, want %s", e.s.name, c.Peers, e.s.peer)
		}
	}
}
