package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const source = `package p

import "fmt"

// size is a constant that TestChange changes.
const size = 2048

const (
	other = size - 1
	third = 2048
)

type thing struct{ n int }

func (t *thing) count(a, b int) int {
	fmt.Println("count",
		a,
		b)
	c := t.twice(a, // a comment inside
		b)
	return c + 2048
}

func (t *thing) twice(a, b int) int { return 2 * (a + b) }

func count() int {
	fmt.Println("one")
	fmt.Println("two")
	return 1
}
`

// module writes a module of one package, and a test file in it that has the
// same names.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "p"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": "module m\n", "p/p.go": source, "p/p_test.go": source} {
		// Read-only, as in the module cache.
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestChange(t *testing.T) {
	for name, tc := range map[string]struct {
		change      change
		old, become string // of source
	}{
		"a constant": {
			change{pkg: "p", decl: "size", was: "2048", becomes: "64"},
			"const size = 2048", "const size = 64",
		},
		"a constant of a group": {
			change{pkg: "p", decl: "third", was: "2048", becomes: "1 << 3"},
			"third = 2048", "third = 1 << 3",
		},
		"an expression on two lines of a method": {
			change{pkg: "p", decl: "thing.count", was: "t.twice(a, b)", becomes: "t.n"},
			"t.twice(a, // a comment inside\n\t\tb)", "t.n\n",
		},
		"a call that goes": {
			change{pkg: "p", decl: "thing.count", was: "fmt.Println"},
			"fmt.Println(\"count\",\n\t\ta,\n\t\tb)", "\n\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "bin", "copy")
			for range 2 { // the second run replaces what the first made
				if err := run(module(t), copied, []change{tc.change}); err != nil {
					t.Fatal(err)
				}
			}
			for file, want := range map[string]string{
				"p/p.go": strings.Replace(source, tc.old, tc.become, 1), "p/p_test.go": source, "go.mod": "module m\n",
			} {
				got, err := os.ReadFile(filepath.Join(copied, file))
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != want {
					t.Errorf("%s:\n%s\nwant\n%s", file, got, want)
				}
			}
			if left, _ := filepath.Glob(copied + "-*"); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestUnexpected: a place that is not as expected is named, and no copy is
// left, nor one of before taken away.
func TestUnexpected(t *testing.T) {
	for name, tc := range map[string]struct {
		change change
		want   string
	}{
		"no such package":     {change{pkg: "q", decl: "size", was: "2048", becomes: "64"}, "size is declared 0 times"},
		"no such constant":    {change{pkg: "p", decl: "width", was: "2048", becomes: "64"}, "width is declared 0 times"},
		"another value":       {change{pkg: "p", decl: "size", was: "4096", becomes: "64"}, "4096 occurs 0 times"},
		"no such method":      {change{pkg: "p", decl: "other.count", was: "a", becomes: "b"}, "other.count is declared 0 times"},
		"twice in a function": {change{pkg: "p", decl: "count", was: "fmt.Println"}, "fmt.Println occurs 2 times"},
		"a call whose result is used": {
			change{pkg: "p", decl: "thing.count", was: "t.twice"}, "t.twice occurs 0 times",
		},
		"what would not be Go": {change{pkg: "p", decl: "size", was: "2048", becomes: "64)"}, "no Go any more"},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "copy")
			if err := run(module(t), copied, nil); err != nil {
				t.Fatal(err)
			}
			err := run(module(t), copied, []change{tc.change})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.change.decl) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			got, _ := os.ReadFile(filepath.Join(copied, "p/p.go"))
			if string(got) != source {
				t.Errorf("the copy is %q", got)
			}
			if left, _ := filepath.Glob(copied + "-*"); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
