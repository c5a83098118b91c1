//go:build lab

package lab

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/topo"
)

const (
	waitInterval = 20 * time.Millisecond
	holdInterval = 100 * time.Millisecond
)

// argv is the command to run on a host: `warren` gets the host's config, as an
// operator's shell has it.
func (s *scenario) argv(host string, args []string) []string {
	if m := s.homes[host]; m != nil {
		return m.inside(args)
	}
	if args[0] == "warren" && len(args) > 1 {
		switch args[1] {
		case "status", "why", "reload", "check", "log-level", "history", "invite", "join", "remove":
			return append(args[:len(args):len(args)], "-c", s.configFile(host))
		}
	}
	return args
}

// call is a command on a host and what its output is to be like.
type call struct {
	host  string
	args  []string
	conds []condition
}

type condition struct {
	re  *regexp.Regexp
	not bool
}

// parseCall reads HOST CMD... and pairs of -- or -! and REGEXP at the end.
func parseCall(args []string) (c call, err error) {
	for len(args) > 2 && (args[len(args)-2] == "--" || args[len(args)-2] == "-!") {
		re, err := regexp.Compile("(?m)" + args[len(args)-1])
		if err != nil {
			return c, err
		}
		c.conds = append(c.conds, condition{re: re, not: args[len(args)-2] == "-!"})
		args = args[:len(args)-2]
	}
	slices.Reverse(c.conds)
	if len(args) < 2 {
		return c, errors.New("usage: HOST CMD... [-- REGEXP | -! REGEXP]...")
	}
	c.host, c.args = args[0], args[1:]
	return c, nil
}

// run runs the command once. The error is the command's own.
func (c call) run(ctx context.Context, s *scenario) (out string, err error) {
	h, err := s.host(c.host)
	if err != nil {
		return "", err
	}
	return h.Run(ctx, s.argv(c.host, c.args)...)
}

// met returns what is wrong with the output.
func (c call) met(out string) error {
	for _, cond := range c.conds {
		if matched := cond.re.MatchString(out); matched == cond.not {
			return fmt.Errorf("output of %s, looking for %q (not: %v):\n%s", strings.Join(c.args, " "), cond.re, cond.not, out)
		}
	}
	return nil
}

// check runs the command, and compares: its output, or if nothing is asked of that,
// its success. What was printed is testscript's stdout.
func (c call) check(ctx context.Context, s *scenario) (string, error) {
	out, err := c.run(ctx, s)
	if len(c.conds) == 0 {
		return out, err
	}
	if wrong := c.met(out); wrong != nil {
		if err != nil {
			wrong = fmt.Errorf("%w\n%w", wrong, err)
		}
		return out, wrong
	}
	return out, nil
}

// looks reports whether the command changes nothing, so that what it prints is what is
// so at that moment, and may be something else in the next.
func (c call) looks() bool {
	has := func(words ...string) bool {
		return slices.ContainsFunc(c.args, func(a string) bool { return slices.Contains(words, a) })
	}
	shows := slices.ContainsFunc(c.args[1:], func(a string) bool { return strings.HasPrefix(a, "show") })
	switch c.args[0] {
	case "cat", "ls", "tail", "ss":
		return true
	case "warren":
		return has("status")
	case "nft":
		return has("list")
	case "ip":
		return !has("add", "change", "replace", "append", "del", "flush", "set")
	case "gobgp":
		return !has("add", "del", "shutdown", "reset", "softreset", "enable", "disable")
	case "wg", "birdc", "vtysh", "bgpctl":
		return shows
	}
	return false
}

func on(s *scenario, ts *testscript.TestScript, neg bool, args []string) error {
	c, err := parseCall(args)
	if err != nil {
		return err
	}
	if c.looks() {
		return fmt.Errorf("`on` does things once, and %q only looks: use until or holds", strings.Join(c.args, " "))
	}
	ctx, cancel := bounded()
	defer cancel()
	out, err := c.run(ctx, s)
	fmt.Fprint(ts.Stdout(), out)
	if neg && err == nil {
		return fmt.Errorf("succeeded, but should not have:\n%s", out)
	}
	if !neg && err != nil {
		return err
	}
	return c.met(out)
}

func background(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 2, "bg HOST CMD..."); err != nil {
		return err
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	p, err := h.Start(s.argv(args[0], args[1:])...)
	if err != nil {
		return err
	}
	s.other = append(s.other, p)
	return nil
}

func until(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	return await(s, ts, patience, args)
}

func within(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 3, "within DURATION HOST CMD... [CONDITIONS]"); err != nil {
		return err
	}
	bound, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	return await(s, ts, bound, args[1:])
}

func await(s *scenario, ts *testscript.TestScript, bound time.Duration, args []string) error {
	c, err := parseCall(args)
	if err != nil {
		return err
	}
	ctx, cancel := bounded()
	defer cancel()
	var out string
	took, err := topo.Eventually(ctx, waitInterval, bound, func() (err error) {
		if out, err = c.check(ctx, s); err != nil && s.died() != nil {
			cancel() // nothing comes of waiting any more
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprint(ts.Stdout(), out)
	ts.Logf("[waited] %v", took.Round(time.Millisecond))
	return nil
}

func holds(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 5, "holds DURATION HOST CMD... CONDITIONS"); err != nil {
		return err
	}
	all, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	c, err := parseCall(args[1:])
	if err != nil {
		return err
	}
	if len(c.conds) == 0 {
		return errors.New("holds: no condition")
	}
	ctx, cancel := bounded()
	defer cancel()
	return topo.Throughout(ctx, holdInterval, all, func() error {
		_, err := c.check(ctx, s)
		return err
	})
}
