package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestHistory(t *testing.T) {
	for _, c := range []struct {
		text, says string
		want       History
	}{
		{"", "", History{"", 8 << 20}},
		{"file = \"/var/lib/warren/../warren/h\"", "", History{"/var/lib/warren/h", 8 << 20}},
		{"file = \"/h.jsonl\"\nmax_size = \"64KiB\"", "", History{"/h.jsonl", 64 << 10}},
		{"file = \"h\"", `history.file: "h" is not an absolute path`, History{}},
		{"file = \"\"", `history.file: "" is not an absolute path`, History{}},
		{"file = \"/tmp\"", "is a directory", History{}},
		{"file = \"/h\"\nmax_size = \"63KiB\"", `history.max_size: "63KiB" is out of range; allowed are 64KiB to 1GiB`, History{}},
		{"file = \"/h\"\nmax_size = \"2GiB\"", "out of range", History{}},
		{"file = \"/h\"\nmax_size = \"much\"", "is not a size", History{}},
		{"file = \"/h\"\nmax_size = 5", "must be a string", History{}},
		{"max_size = \"1MiB\"", "is of no use without history.file", History{}},
		{"size = \"1MiB\"", "unknown key", History{}},
	} {
		file := filepath.Join(t.TempDir(), "warren.toml")
		write(t, file, "asn = 64512\nrouter_id = \"10.0.0.1\"\n[history]\n"+c.text)
		cfg, err := Load(file)
		switch {
		case c.says == "" && (err != nil || cfg.History != c.want):
			t.Errorf("%s: %+v, %v", c.text, cfg, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v", c.text, err)
		}
	}
}
