package conversion

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// line is what a line of a peer's file may be.
var line = regexp.MustCompile(`^(|#.*|\[(tunnel|bgp)\]|[a-z_]+ = ([0-9]+|true|"([^"\\]|\\.)*"|\[("([^"\\]|\\.)*"(, )?)*\]))$`)

// Whatever is in a file, what is made of it are settings and comments, and names that stay in their directory.
func FuzzRead(f *testing.F) {
	archives, _ := filepath.Glob("testdata/*.txtar")
	for _, path := range archives {
		a, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var in []string
		for _, file := range a.Files {
			if !strings.HasPrefix(file.Name, "want/") && !strings.Contains(file.Name, "/") {
				in = append(in, string(file.Data))
			}
		}
		f.Add(in[0], in[len(in)-1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		r, err := Read([]File{{Path: "/etc/a b\n.conf", Text: a}, {Path: "/etc/b.conf", Text: b}})
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, file := range r.Files() {
			if seen[file.Name] {
				t.Errorf("two files %q", file.Name)
			}
			seen[file.Name] = true
			if dir, name := filepath.Split(file.Name); dir != "" && dir != "peers.d"+string(os.PathSeparator) || name == "" || strings.HasPrefix(name, ".") {
				t.Errorf("a file %q", file.Name)
			}
		}
		for _, p := range r.Peers {
			keys := map[string]bool{}
			for _, l := range strings.Split(p.Text(), "\n") {
				if key, _, is := strings.Cut(l, " = "); is && !strings.HasPrefix(l, "#") {
					if keys[key] {
						t.Errorf("%s twice in:\n%s", key, p.Text())
					}
					keys[key] = true
				}
				if !line.MatchString(l) {
					t.Errorf("%q in:\n%s", l, p.Text())
				}
			}
		}
		r.RouterText()
	})
}
