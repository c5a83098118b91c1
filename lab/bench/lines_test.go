package main

import (
	"os"
	"path/filepath"
	"testing"

	"warren/internal/config"
	"warren/internal/keys"
	"warren/lab/topo"
)

// testRouter makes a router's directory with its keys.
func testRouter(t *testing.T, name string) *topo.Warren {
	t.Helper()
	r := &topo.Warren{Host: &topo.Host{Name: name}, Dir: filepath.Join(t.TempDir(), "router")} // the test's own has the mode that the umask gives it
	if err := os.MkdirAll(filepath.Join(r.Dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Router(r.Dir); err != nil {
		t.Fatal(err)
	}
	return r
}

// mustHave loads a router's files, which are to be those of so many peers.
func mustHave(t *testing.T, r *topo.Warren, peers int) {
	t.Helper()
	got, err := config.Load(r.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Peers) != peers {
		t.Errorf("%s: %d peers, want %d", r.Host.Name, len(got.Peers), peers)
	}
}

// TestLineConfigurationsAreValid keeps the files for two lines and for a list of remotes in step with what
// warren takes, the timers among it.
func TestLineConfigurationsAreValid(t *testing.T) {
	for _, transport := range []string{transportTLS, transportWireGuard} {
		secret := filepath.Join(t.TempDir(), "lines.secret")
		if err := keys.Secret(secret); err != nil {
			t.Fatal(err)
		}
		a, b := testRouter(t, "a"), testRouter(t, "b")
		c := defaults().timers(transport)
		c.prefixes, c.fed, c.transit = 20, b.Host, true
		lines := []provider{{nearAddr: "192.0.2.1", farAddr: "192.0.2.5"}, {nearAddr: "192.0.2.9", farAddr: "192.0.2.13"}}
		if err := configureLines(a, b, lines, secret, c); err != nil {
			t.Fatal(err)
		}
		mustHave(t, a, len(lines))
		mustHave(t, b, len(lines))
		c.onePeer = true
		a1, b1 := testRouter(t, "a"), testRouter(t, "b")
		if err := configureLines(a1, b1, lines, secret, c); err != nil {
			t.Fatal(err)
		}
		mustHave(t, a1, 1)
		mustHave(t, b1, 1)

		client, server := testRouter(t, "client"), testRouter(t, "server")
		for r, remotes := range map[*topo.Warren][]string{client: {"192.0.2.5", "192.0.2.13"}, server: nil} {
			if err := configureSite(r, 64512, siteA, networkA, transport); err != nil {
				t.Fatal(err)
			}
			if err := r.ConfigurePeer("other", linePeer(c, secret, remotes, 64513, false)); err != nil {
				t.Fatal(err)
			}
			mustHave(t, r, 1)
		}
	}
}
