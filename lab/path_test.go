//go:build lab

package lab

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/path"
	"warren/lab/topo"
)

const pathUsage = "path LINK [from HOST] [seed N] clear | path LINK [from HOST] [seed N] " + path.Usage + " | path LINK [from HOST] has KIND..."

// setPath is the command path: it changes what becomes of what a link's ends send, or one of them.
func setPath(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 2, pathUsage); err != nil {
		return err
	}
	l, err := s.link(args[:1])
	if err != nil {
		return err
	}
	name, words := args[0], args[1:]
	from := []path.End{path.A, path.B}
	if len(words) > 2 && words[0] == "from" {
		h, err := s.host(words[1])
		if err != nil {
			return err
		}
		end, err := l.End(h)
		if err != nil {
			return err
		}
		from, words = []path.End{end}, words[2:]
	}
	if words[0] == "has" {
		return s.pathHas(name, from, words[1:])
	}
	p, words, err := s.openPath(ts, name, l, words)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return fmt.Errorf("usage: %s", pathUsage)
	}
	if slices.Equal(words, []string{"clear"}) {
		words = nil
	}
	c, err := path.ParseConditions(words)
	if err != nil {
		return err
	}
	for _, end := range from {
		p.Set(end, c)
	}
	return nil
}

// openPath returns the path of a link, and the words that follow the seed, if there is one. The log names it, so that
// a run can be repeated.
func (s *scenario) openPath(ts *testscript.TestScript, name string, l *topo.Link, words []string) (*path.Path, []string, error) {
	seed, given := rand.Uint64(), len(words) > 2 && words[0] == "seed"
	if given {
		var err error
		if seed, err = strconv.ParseUint(words[1], 10, 64); err != nil {
			return nil, nil, err
		}
		words = words[2:]
	}
	if p := s.paths[name]; p != nil {
		if given {
			return nil, nil, fmt.Errorf("the first statement about %s sets the seed", name)
		}
		return p, words, nil
	}
	ctx, cancel := bounded()
	defer cancel()
	p, err := l.Path(ctx, seed)
	if err != nil {
		return nil, nil, err
	}
	s.paths[name] = p
	ts.Logf("[path] %s seed %d", name, seed)
	return p, words, nil
}

// pathHas waits until packets of each kind were seen.
func (s *scenario) pathHas(name string, from []path.End, words []string) error {
	p := s.paths[name]
	if p == nil {
		return fmt.Errorf("there is no path %s", name)
	}
	if len(words) == 0 {
		return fmt.Errorf("usage: %s", pathUsage)
	}
	ctx, cancel := bounded()
	defer cancel()
	_, err := topo.Eventually(ctx, waitInterval, patience, func() error {
		for _, word := range words {
			kind, ok := path.Kinds[word]
			if !ok {
				return fmt.Errorf("%q is no kind of packet", word)
			}
			for _, end := range from {
				if p.Count(end, kind) == 0 {
					return fmt.Errorf("path %s has no packet that is %s:\n%s", name, word, pathCounts(p))
				}
			}
		}
		return nil
	})
	return err
}

// pathCounts says in words what became of the packets of a path.
func pathCounts(p *path.Path) string {
	var lines []string
	for end, name := range []string{"A", "B"} {
		line := "from end " + name + ":"
		for _, word := range slices.Sorted(maps.Keys(path.Kinds)) {
			if n := p.Count(path.End(end), path.Kinds[word]); n > 0 {
				line += fmt.Sprintf(" %d %s", n, word)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
