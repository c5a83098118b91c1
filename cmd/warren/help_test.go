package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The help of each command says what it does, and what each flag takes.
func TestHelp(t *testing.T) {
	all := root()
	code, stdout, _ := run(t, "--help")
	if code != 0 || strings.Contains(stdout, "Additional Commands") || strings.Contains(stdout, "Help about") {
		t.Errorf("exit %d, a command is in no group of help.go:\n%s", code, stdout)
	}
	for _, g := range groups {
		if !strings.Contains(stdout, "\n"+g.Title+"\n") {
			t.Errorf("%q is not in\n%s", g.Title, stdout)
		}
	}
	if code, stdout, _ := run(t, "help", "why"); code != 0 || !strings.Contains(stdout, "\nUsage:\n  warren why PREFIX|ADDRESS ") {
		t.Errorf("exit %d, %s", code, stdout)
	}
	if _, stdout, _ := run(t, "join", "--help"); !strings.Contains(stdout, "  warren join LINE [--yes] [flags]\n") {
		t.Errorf("flags are left out, and nothing says so: %s", stdout)
	}
	for id, names := range grouped {
		for _, name := range names {
			if cmd, _, err := all.Find([]string{name}); err != nil || cmd.GroupID != id {
				t.Errorf("%s is in no group %s: %v", name, id, err)
			}
		}
	}
	for _, cmd := range all.Commands() {
		if cmd.Hidden || cmd.Name() == "help" {
			continue
		}
		if cmd.Long == "" {
			t.Errorf("%s has no words but %q", cmd.Name(), cmd.Short)
		}
		for line := range strings.SplitSeq(cmd.Long+"\n"+cmd.Example, "\n") {
			if len(line) > 120 {
				t.Errorf("%s: a line of %d bytes: %s", cmd.Name(), len(line), line)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(f)
			if slices.Contains([]string{"string", "int", "uint32", "stringArray", "long"}, value) {
				t.Errorf("%s --%s takes a %s: what is it? Name it with backquotes in its words", cmd.Name(), f.Name, value)
			}
		})
	}
}
