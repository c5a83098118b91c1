package configs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestREADMEHasTheMinimalConfigs compares the files of README's set-up with those
// in minimal, which README says they are.
func TestREADMEHasTheMinimalConfigs(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Set up two routers\n")
	section, _, _ = strings.Cut(section, "\n## ")
	files := map[string]string{}
	for _, m := range regexp.MustCompile("(?s) *```toml\n *# (site-[ab]): /etc/warren/(\\S+)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		if name := filepath.Join(m[1], m[2]); files[name] == "" {
			files[name] = bareTOML(m[3])
		} else {
			t.Errorf("README has %s twice", name)
		}
	}
	for _, name := range []string{"site-a/warren.toml", "site-a/peers.d/site-b.toml", "site-b/warren.toml", "site-b/peers.d/site-a.toml"} {
		minimal, err := os.ReadFile(filepath.Join("minimal", name))
		if err != nil {
			t.Fatal(err)
		}
		if want := bareTOML(string(minimal)); files[name] != want {
			t.Errorf("%s: README has\n%s\nminimal has\n%s", name, files[name], want)
		}
	}
	if len(files) != 4 {
		t.Errorf("README has %d files", len(files))
	}
}

// bareTOML is a file without comments, indentation and empty lines.
func bareTOML(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}
