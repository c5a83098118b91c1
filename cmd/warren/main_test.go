package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run runs the command as main does.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := root()
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	code = execute(t.Context(), cmd)
	return code, out.String(), errs.String()
}

// Each command ends with 3 where it is called wrongly, and says what is wrong.
func TestWrongUse(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"", "no command is given"},
		{"frobnicate", `unknown command "frobnicate"`},
		{"--frobnicate", "unknown flag: --frobnicate"},
		{"run --log-format xml", "it is not a format; allowed are text and json"},
		{"run now", `unknown command "now"`},
		{"log-level", "accepts 1 arg(s), received 0"},
		{"log-level loud", `"loud" is not a level; allowed are debug, info, warn and error`},
		{"log-level debug info", "accepts 1 arg(s), received 2"},
		{"keygen --endpoint x:1", "--endpoint goes with --wg-config only"},
		{"keygen --wg-config --endpoint x", `--endpoint "x" is not host:port`},
		{"keygen -d x --secret y", "none of the others can be"},
		{"status -c", "flag needs an argument"},
	} {
		code, stdout, stderr := run(t, strings.Fields(c.args)...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "warren: ") || !strings.Contains(stderr, c.says) {
			t.Errorf("warren %s: exit %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
}

// TestEveryCommandRefusesWhatItDoesNotKnow holds for commands still to come.
func TestEveryCommandRefusesWhatItDoesNotKnow(t *testing.T) {
	var each func(cmd *cobra.Command, path []string)
	each = func(cmd *cobra.Command, path []string) {
		if len(cmd.Commands()) == 0 && !strings.HasPrefix(cmd.Use, "gobgp") {
			if code, _, stderr := run(t, append(path[:len(path):len(path)], "--no-such-flag")...); code != exitUsage {
				t.Errorf("warren %v --no-such-flag: exit %d, %q", path, code, stderr)
			}
		}
		if len(path) > 0 && cmd.RunE == nil && cmd.Runnable() {
			t.Errorf("warren %v has Run: with RunE it can be told whether it has begun", path)
		}
		for _, c := range cmd.Commands() {
			each(c, append(path[:len(path):len(path)], c.Name()))
		}
	}
	each(root(), nil)
}

// What was called rightly and does not succeed ends with 1.
func TestNotSucceeding(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "warren.toml")
	for _, args := range [][]string{
		{"check", "-c", nowhere}, {"status", "-c", nowhere}, {"reload", "-c", nowhere}, {"log-level", "info", "-c", nowhere},
	} {
		if code, _, stderr := run(t, args...); code != exitFailed || !strings.Contains(stderr, nowhere) {
			t.Errorf("warren %v: exit %d, %q", args, code, stderr)
		}
	}
	if code, stdout, _ := run(t, "version"); code != 0 || !strings.HasPrefix(stdout, "warren ") {
		t.Errorf("warren version: exit %d, %q", code, stdout)
	}
}
