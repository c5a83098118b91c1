package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReferenceNamesAllWords checks that where a key takes certain words, as the message about another one lists them, the
// comment above it names them all.
func TestReferenceNamesAllWords(t *testing.T) {
	path := shippedCopy(t, "reference")
	said := regexp.MustCompile(`allowed are ((?:"[a-z]+"(?:, | and )?)+)`)
	seen := map[string]bool{}
	files := []string{"warren.toml", "peers.d/site-b.toml"} // in which a key that is in others too is explained
	for _, s := range "efghijklmno" {
		files = append(files, fmt.Sprintf("peers.d/site-%c.toml", s))
	}
	for _, file := range files {
		target, text := filepath.Join(filepath.Dir(path), file), readShipped(t, "reference/"+file)
		for _, k := range referenceKeys(t, file) {
			lines := strings.Split(text, "\n")
			key, _, isText := strings.Cut(lines[k.line], " = \"")
			if k.comment == "" || seen[k.full] || !isText {
				continue
			}
			comment := commentAbove(lines, k.line)
			lines[k.line] = key + " = \"nonsense\""
			write(t, target, strings.Join(lines, "\n"))
			_, err := Load(path)
			if words := said.FindStringSubmatch(fmt.Sprint(err)); words != nil {
				seen[k.full] = true
				for _, word := range regexp.MustCompile(`"[a-z]+"`).FindAllString(words[1], -1) {
					if !strings.Contains(comment, word) {
						t.Errorf("%s: the comment on %s does not name %s", file, k.full, word)
					}
				}
			}
		}
		write(t, target, text)
	}
	for _, key := range []string{"tunnel.transport", "tunnel.remote_order", "tunnel.probe", "tunnel.datapath"} {
		if !seen[key] {
			t.Errorf("%s was not looked at; those that were are %v", key, seen)
		}
	}
}

// commentAbove is the comment right above a line.
func commentAbove(lines []string, line int) string {
	first := line
	for first > 0 && strings.HasPrefix(lines[first-1], "#") {
		first--
	}
	return strings.Join(lines[first:line], "\n")
}

// TestReferenceNamesItsFiles checks that who begins with site-b.toml is sent to each other file.
func TestReferenceNamesItsFiles(t *testing.T) {
	head, _, _ := strings.Cut(readShipped(t, "reference/peers.d/site-b.toml"), "\n[")
	files, err := os.ReadDir(filepath.Join(shipped, "reference/peers.d"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if name := f.Name(); name != "site-b.toml" && !strings.Contains(head, name) {
			t.Errorf("the head of site-b.toml does not name %s", name)
		}
	}
}
