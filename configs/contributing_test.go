package configs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestContributingNamesWhatIsThere looks for each file and package that CONTRIBUTING.md names, and for each
// target of make.
func TestContributingNamesWhatIsThere(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, m := range regexp.MustCompile("`([\\w.-]+(?:/[\\w.-]+)+|go\\.mod|\\.golangci\\.yml)`|\\]\\(([^):#]+)\\)").FindAllStringSubmatch(string(text), -1) {
		named++
		if _, err := os.Stat(filepath.Join("..", m[1]+m[2])); err != nil {
			t.Errorf("CONTRIBUTING.md: %v", err)
		}
	}
	if named < 30 {
		t.Errorf("only %d files are named: does the pattern still fit?", named)
	}
	for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z-]+)").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(string(makefile), "\n"+m[1]+":") {
			t.Errorf("CONTRIBUTING.md: there is no make %s", m[1])
		}
	}
}
