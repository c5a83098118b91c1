package configs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	// named are files that are not linked, but named, from the module's directory on.
	named = regexp.MustCompile("`((?:docs|lab|configs|packaging|internal|tools)/[\\w./-]*\\w)`")
)

// documents are the texts of all documents of the project, without blocks of code, by their paths in the module.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || name == "bin" || name == "testdata"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, "../")] = fence.ReplaceAllString(string(text), "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// anchors are what a document's headings can be linked by, as GitHub makes them: lower case, a hyphen for each space,
// without what is neither a letter nor a digit nor a hyphen nor an underscore; the second of the same has -1 behind it.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		if slices.Contains(all, anchor) {
			anchor += "-1"
		}
		all = append(all, anchor)
	}
	return all
}

// TestLinksLeadSomewhere follows each link of a document to another file of the project, or to a heading, and looks for
// the files that are named without a link. What is outside of the project is not looked at.
func TestLinksLeadSomewhere(t *testing.T) {
	docs := documents(t)
	followed := 0
	for page, text := range docs {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			path, anchor, inside := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s: %s: %v", page, m[1], err)
			} else if inside && !slices.Contains(anchors(docs[target]), anchor) {
				t.Errorf("%s: %s: %s has no such heading; it has %q", page, m[1], target, anchors(docs[target]))
			}
		}
		if page == "CHANGELOG.md" {
			continue // it may name what was there once
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if followed < 100 {
		t.Errorf("only %d links were found: does the pattern still fit?", followed)
	}
}

// TestEveryPageIsFound goes from README by links: a page that it does not come to is found by nobody. What a run of a
// bench has written may be part of a whole only, which nothing links to.
func TestEveryPageIsFound(t *testing.T) {
	docs := documents(t)
	found := map[string]bool{"README.md": true}
	for next := []string{"README.md"}; len(next) > 0; next = next[1:] {
		page := next[0]
		for _, m := range link.FindAllStringSubmatch(docs[page], -1) {
			path, _, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(page), path)
			if _, is := docs[target]; is && path != "" && !found[target] {
				found[target] = true
				next = append(next, target)
			}
		}
	}
	for page := range docs {
		if !found[page] && !strings.HasPrefix(page, "docs/bench-") {
			t.Errorf("no link leads to %s", page)
		}
	}
}
