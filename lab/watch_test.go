//go:build lab

package lab

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/topo"
)

// argv is the command to run on a host: `warren` gets the host's config, as an
// operator's shell has it.
func (s *scenario) argv(host string, args []string) []string {
	if m := s.homes[host]; m != nil {
		return m.inside(args)
	}
	if args[0] == "warren" && len(args) > 1 {
		switch args[1] {
		case "status", "reload", "check", "log-level":
			return append(args[:len(args):len(args)], "-c", s.configFile(host))
		}
	}
	return args
}

func (s *scenario) run(ctx context.Context, args []string) (string, error) {
	h, err := s.host(args[0])
	if err != nil {
		return "", err
	}
	return h.Run(ctx, s.argv(args[0], args[1:])...)
}

func on(s *scenario, ts *testscript.TestScript, neg bool, args []string) error {
	if err := need(args, 2, "on HOST CMD..."); err != nil {
		return err
	}
	ctx, cancel := bounded()
	defer cancel()
	out, err := s.run(ctx, args)
	fmt.Fprint(ts.Stdout(), out)
	switch {
	case neg && err == nil:
		return fmt.Errorf("succeeded, but should not have:\n%s", out)
	case !neg:
		return err
	}
	return nil
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

// watch is what within and holds have in common: DURATION HOST CMD... --|-! REGEXP.
type watch struct {
	bound time.Duration
	args  []string // host and command
	want  *regexp.Regexp
	not   bool
}

func parseWatch(args []string) (w watch, err error) {
	if len(args) < 5 {
		return w, errors.New("usage: DURATION HOST CMD... -- REGEXP (or -! REGEXP)")
	}
	if w.bound, err = time.ParseDuration(args[0]); err != nil {
		return w, err
	}
	switch sep := args[len(args)-2]; sep {
	case "--":
	case "-!":
		w.not = true
	default:
		return w, fmt.Errorf("the last but one word is %q, not -- or -!", sep)
	}
	if w.want, err = regexp.Compile("(?m)" + args[len(args)-1]); err != nil {
		return w, err
	}
	w.args = args[1 : len(args)-2]
	return w, nil
}

func (w watch) check(ctx context.Context, s *scenario) error {
	out, err := s.run(ctx, w.args)
	matched := w.want.MatchString(out)
	switch {
	case w.not && matched:
		return fmt.Errorf("output still matches %q:\n%s", w.want, out)
	case !w.not && !matched:
		if err != nil {
			return fmt.Errorf("output does not match %q: %w", w.want, err)
		}
		return fmt.Errorf("output does not match %q:\n%s", w.want, out)
	}
	return nil
}

func within(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	w, err := parseWatch(args)
	if err != nil {
		return err
	}
	ctx, cancel := bounded()
	defer cancel()
	took, err := topo.Eventually(ctx, 20*time.Millisecond, w.bound, func() error { return w.check(ctx, s) })
	if err == nil {
		ts.Logf("[within] after %v", took.Round(time.Millisecond))
	}
	return err
}

func holds(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	w, err := parseWatch(args)
	if err != nil {
		return err
	}
	ctx, cancel := bounded()
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(w.bound); time.Now().Before(end); <-tick.C {
		if err := w.check(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
