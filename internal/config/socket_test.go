package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocket(t *testing.T) {
	for _, tt := range []struct{ text, want, err string }{
		{"", defaultSocket, ""},
		{"[api]\nsocket = \"/tmp/x.sock\"\n", "/tmp/x.sock", ""},
		{"asn = \"mistaken\"\n[api]\nsocket = \"/tmp/x.sock\"\n", "/tmp/x.sock", ""},
		{"[api]\nsocket = \"x.sock\"\n", "", "absolute"},
		{"[api]\nsocket = 5\n", "", "quotes"},
		{"[api\n", "", "warren.toml"},
	} {
		file := filepath.Join(t.TempDir(), "warren.toml")
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Socket(file)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want one with %q", tt.text, err, tt.err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
	if _, err := Socket(filepath.Join(t.TempDir(), "no.toml")); err == nil {
		t.Error("a config that is not there was no error")
	}
}
