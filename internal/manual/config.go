package manual

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// Config returns warren.toml(5), which has the text of the reference config in dir: that of
// warren.toml, and of each file in peers.d. What has a comment of its own becomes a paragraph of
// its own, and what has none an example.
func Config(dir fs.FS) (*Page, error) {
	p := newPage("warren.toml", 5, "the configuration of warren")
	p.section("SYNOPSIS")
	p.printf("**/etc/warren/warren.toml**, **/etc/warren/peers.d/**\\*.toml\n\n")
	if err := p.file(dir, "warren.toml", "DESCRIPTION"); err != nil {
		return nil, err
	}
	peers, err := fs.Glob(dir, "peers.d/*.toml")
	if err != nil || len(peers) == 0 {
		return nil, errors.Join(errors.New("manual: the reference has no peers"), err)
	}
	for _, name := range peers {
		if err := p.file(dir, name, name); err != nil {
			return nil, err
		}
	}
	p.section("SEE ALSO")
	p.printf("**warren**(1), **warren-check**(1), **warren-reload**(1)\n")
	return p, nil
}

var (
	tableLine = regexp.MustCompile(`^\[\[?[^\[\]]*\]\]?$`)
	keyLine   = regexp.MustCompile(`^(\w+) *= `)
)

// file writes one file of the reference.
func (p *Page) file(dir fs.FS, name, title string) error {
	data, err := fs.ReadFile(dir, name)
	if err != nil {
		return fmt.Errorf("manual: %w", err)
	}
	p.section(title)
	for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
		comment, lines := cutComment(block)
		switch {
		case len(lines) == 0: // of the file
			p.prose(comment)
		case comment == "":
			p.bare(lines)
		case !keyLine.MatchString(lines[0]):
			if !tableLine.MatchString(lines[0]) {
				return fmt.Errorf("manual: %s: %q is neither a table nor a key", name, lines[0])
			}
			p.subsection(lines[0])
			p.prose(comment)
			p.bare(lines[1:])
		default:
			p.subsection(keyLine.FindStringSubmatch(lines[0])[1])
			p.code(lines)
			p.prose(comment)
		}
	}
	return nil
}

// bare writes what is not explained: the head of a table, or an example.
func (p *Page) bare(lines []string) {
	if len(lines) == 0 {
		return
	}
	if len(lines) == 1 && tableLine.MatchString(lines[0]) {
		p.subsection(lines[0])
		return
	}
	p.code(lines)
}

// cutComment cuts the comment before the first line that is none. Its sentence on what happens
// without the key becomes a paragraph.
func cutComment(block string) (comment string, rest []string) {
	lines := strings.Split(block, "\n")
	var text []string
	for len(lines) > 0 && strings.HasPrefix(lines[0], "#") {
		line := strings.TrimPrefix(strings.TrimPrefix(lines[0], "#"), " ")
		if strings.HasPrefix(line, "Default: ") || strings.HasPrefix(line, "Required") {
			text = append(text, "")
		}
		text = append(text, line)
		lines = lines[1:]
	}
	return strings.Join(text, "\n"), lines
}
