package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// part is one test of a suite: participants that take turns, and the figures that they get.
type part struct {
	name, title  string
	note         string // what was measured
	figures      []figure
	participants []participant
	// rivals are the names of those of which Warren's figures are shown as multiples.
	rivals []string
	bounds []bound
	limits []limit
}

// figure is a row of a part's table.
type figure struct {
	key   metric
	title string // with its unit
}

// limit is a target for a participant's own figure.
type limit struct {
	of, what string
	key      metric
	most     float64
}

// participant is something that a part measures.
type participant struct {
	id, title string
	needs     []string // commands
	version   func(context.Context) (string, error)
	// turn starts it afresh, measures it and leaves nothing behind.
	turn func(context.Context) (sample, error)
}

func (p participant) name() string { return p.id }

// partChoice is a flag that stands alone, for all parts of a suite, or with a list of some.
type partChoice struct {
	given  bool
	chosen []string // none: all
}

func (c *partChoice) IsBoolFlag() bool { return true }

func (c *partChoice) String() string { return strings.Join(c.chosen, ",") }

func (c *partChoice) Set(s string) error {
	c.given, c.chosen = s != "false", nil
	if s != "true" && s != "false" {
		c.chosen = strings.Split(s, ",")
	}
	return nil
}

// of keeps the parts that were chosen, in their own order.
func (c *partChoice) of(all []part) ([]part, error) {
	var known []string
	for _, p := range all {
		known = append(known, p.name)
	}
	for _, name := range c.chosen {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no part %q: want some of %s", name, strings.Join(known, ","))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p part) bool {
		return len(c.chosen) > 0 && !slices.Contains(c.chosen, p.name)
	}), nil
}

// keepOnly keeps the participants in a comma-separated list, and the parts that have any; an empty list keeps all.
func keepOnly(all []part, only string) ([]part, error) {
	if only == "" {
		return all, nil
	}
	var known []string
	for _, p := range all {
		known = append(known, names(p.participants)...)
	}
	wanted := strings.Split(only, ",")
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			slices.Sort(known)
			return nil, fmt.Errorf("no contender %q: want some of %s", w, strings.Join(slices.Compact(known), ","))
		}
	}
	var kept []part
	for _, p := range all {
		p.participants = slices.DeleteFunc(slices.Clone(p.participants), func(c participant) bool { return !slices.Contains(wanted, c.id) })
		if len(p.participants) > 0 {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// missing lists the commands that parts need and the machine lacks.
func missing(parts []part) []string {
	var out []string
	for _, p := range parts {
		for _, c := range p.participants {
			for _, command := range c.needs {
				if _, err := exec.LookPath(command); err != nil && !slices.Contains(out, command) {
					out = append(out, command)
				}
			}
		}
	}
	return out
}

// partResult is what a part measured.
type partResult struct {
	Name       string  `json:"name"`
	Title      string  `json:"title"`
	Contenders results `json:"contenders"`
}

// measure lets the participants take turns, one alone, and returns what it has also if there is an error.
// One that fails costs only itself, unless ctx is done.
func (p part) measure(ctx context.Context, rounds int) (*partResult, error) {
	r := &partResult{Name: p.name, Title: p.title}
	for _, c := range p.participants {
		version, err := c.version(ctx)
		if err != nil {
			return r, err
		}
		r.Contenders = append(r.Contenders, result{Name: c.id, Title: c.title, Version: version, Median: sample{}})
	}
	failed := make([]error, len(p.participants))
	for round := range rounds {
		for turn := range p.participants {
			i := (round + turn) % len(p.participants)
			c := p.participants[i]
			if failed[i] != nil {
				continue
			}
			fmt.Printf("%s, round %d of %d: %s\n", p.name, round+1, rounds, c.title)
			s, err := c.turn(ctx)
			switch {
			case ctx.Err() != nil:
				return r, errors.Join(ctx.Err(), err)
			case err != nil:
				failed[i] = fmt.Errorf("%s: %s: %w", p.name, c.id, err)
				fmt.Printf("%s: %s has failed, and is left out\n", p.name, c.title)
			default:
				r.Contenders[i].add(s)
			}
		}
	}
	return r, errors.Join(failed...)
}

// measureParts measures one part after the other.
func measureParts(ctx context.Context, parts []part, rounds int) (out []*partResult, err error) {
	var errs []error
	for _, p := range parts {
		if ctx.Err() != nil {
			break
		}
		r, err := p.measure(ctx, rounds)
		out, errs = append(out, r), append(errs, err)
	}
	return out, errors.Join(errs...)
}
