package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A shell completes names also while a file has mistakes or keys are missing.
func TestPeerNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a [b]*")
	path := filepath.Join(dir, "warren.toml")
	if got := PeerNames(path); got != nil {
		t.Errorf("without a directory: %q", got)
	}
	for name, text := range map[string]string{
		"site-c.toml":    "[tunnel]\nsecret_file = \"none.secret\"\n[bgp]\nasn = 1\nimport = []\n",
		"site-b.toml":    "[tunnel\nthis is being edited",
		"spokes.toml":    "[peer.spoke-2.bgp]\nasn = 7\n[peer.spoke-1]\ntemplate = \"none\"\n",
		".hidden.toml":   "",
		"site-d.toml~":   "",
		"site-e.disable": "",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "peers.d"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "peers.d", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := PeerNames(path), []string{"site-b", "site-c", "spoke-1", "spoke-2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
