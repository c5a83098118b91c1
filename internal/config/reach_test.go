package config

import (
	"os"
	"path/filepath"
	"testing"
)

// Where the daemon can be asked is known of a config with other mistakes too.
func TestReach(t *testing.T) {
	file := filepath.Join(t.TempDir(), "warren.toml")
	for text, want := range map[string]API{
		"asn = \"no\"":                                       {Gobgp: defaultGobgp, Socket: DefaultSocket},
		"[api]\ngobgp = \"\"\nsocket = \"/s\"":               {Socket: "/s"},
		"[api]\ngobgp = \"unix:///g\"":                       {Gobgp: "unix:/g", Socket: DefaultSocket},
		"[api]\ngobgp = \"192.0.2.1:1\"":                     {},
		"[api]\ngobgp = 5":                                   {},
		"[api]\nsocket = \"s\"":                              {},
		"[api]\ngobgp = \"[::1]:50051\"\n[announce]\nx = \"": {Gobgp: "[::1]:50051", Socket: DefaultSocket},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Reach(file)
		if got != want || (err != nil) != (want == API{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if _, err := Reach(filepath.Join(filepath.Dir(file), "none.toml")); err == nil {
		t.Error("no error without a file")
	}
}
