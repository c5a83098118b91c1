package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
		{"help frobnicate", `there is no command "frobnicate"`},
		{"help status site-b", `there is no command "status site-b"`},
		{"run --log-format xml", "it is not a format; allowed are text and json"},
		{"run now", `unknown command "now"`},
		{"log-level", "accepts 1 arg(s), received 0"},
		{"log-level loud", `"loud" is not a level; allowed are debug, info, warn and error`},
		{"log-level debug info", "accepts 1 arg(s), received 2"},
		{"keygen --endpoint x:1", "--endpoint goes with --wg-config only"},
		{"keygen --wg-config --endpoint x", `--endpoint "x" is not host:port`},
		{"keygen -d x --secret y", "none of the others can be"},
		{"status -c", "flag needs an argument"},
		{"status site-b site-c", "accepts at most 1 arg(s)"},
		{"status --check --json", "none of the others can be"},
		{"status --plugin --json", "none of the others can be"},
		{"status --plugin --watch", "none of the others can be"},
		{"status --plugin --routes", "none of the others can be"},
		{"status --check --warning rtt=1", "--warning and --critical go with --plugin only"},
		{"status --critical down=0", "--warning and --critical go with --plugin only"},
		{"history site-b site-c", "accepts at most 1 arg(s)"},
		{"history --since soon", "it is not a duration such as 8h"},
		{"history --since -1h", "it is not a duration such as 8h"},
		{"status --routes here", `"here" is neither a prefix`},
		{"status --routes 10.2.0.1/24", "is 10.2.0.0/24 meant"},
		{"why", "accepts 1 arg(s), received 0"},
		{"import", "requires at least 1 arg(s)"},
		{"why here", `"here" is neither a prefix`},
		{"why 10.2.0.1/24", "is 10.2.0.0/24 meant"},
		{"why ::ffff:10.2.0.0/120", "is IPv4-mapped"},
		{"why 10.2.0.0/24 --to", "flag needs an argument"},
		{"reload --confirm soon", `"soon" is not a duration of 5s to 24h`},
		{"reload --confirm 1s", `"1s" is not a duration of 5s to 24h`},
		{"reload --confirm 5m --dry-run", "none of the others can be"},
		{"reload --confirm 5m --undo", "none of the others can be"},
		{"reload --undo --dry-run", "none of the others can be"},
		{"reload --undo --json", "--json goes with --dry-run only"},
		{"reload --json", "--json goes with --dry-run only"},
		{"reload site-b", `unknown command "site-b"`},
		{"check a b", "accepts at most 1 arg(s)"},
		{"check --json", "--json goes with --diff only"},
		{"check site-b --json --diff", "--json and a peer cannot be given together"},
		{"invite --import 10.2.0.0/16", "requires at least 1 arg(s)"},
		{"invite site-b", "--import is missing"},
		{"invite ../b --import 10.2.0.0/16", `"../b" is not a name`},
		{"invite site-b --import 10.2.0.1/16", "write 10.2.0.0/16"},
		{"invite site-b --import 0.0.0.0/0", "is no network of the peer's"},
		{"invite site-b --import 10.2.0.0/16 --export all", `--export "all"`},
		{"invite site-b --import 10.2.0.0/16 --export any 10.3.0.0/16", `"10.3.0.0/16" belongs to nothing`},
		{"invite site-b --import 10.2.0.0/16 --remote a", `--remote "a"`},
		{"invite site-b --import 10.2.0.0/16 --transport quic", `--transport "quic" is not one over which two routers meet; allowed are "tls" and "wireguard"`},
		{"invite site-b --import 10.2.0.0/16 --transport auto", `--transport "auto" is not one`},
		{"invite site-b --import 10.2.0.0/16 --asn 0", "--asn 0 is reserved"},
		{"invite site-b --import 10.2.0.0/16 --valid soon", "it must be a time such as"},
		{"join", "accepts 1 arg(s), received 0"},
		{"join x --name /", "--name"},
		{"join x --router-id ::1", "--router-id"},
		{"remove", "accepts 1 arg(s), received 0"},
		{"status --routes 10.2.0.0/24 10.3.0.0/24", "accepts at most 1 arg(s)"},
	} {
		code, stdout, stderr := run(t, strings.Fields(c.args)...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "warren: ") || !strings.Contains(stderr, c.says) {
			t.Errorf("warren %s: exit %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
}

// An argument or a value that is empty is wrong use, and nothing is done. This holds for commands still to come.
func TestNothingIsEmpty(t *testing.T) {
	t.Chdir(t.TempDir())
	none := filepath.Join(t.TempDir(), "warren.toml")
	for _, cmd := range root().Commands() {
		if cmd.DisableFlagParsing {
			continue // another program's arguments
		}
		name := cmd.Name()
		all := [][]string{{name, ""}, {name, "x", ""}}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() != "bool" && !slices.Contains(mayBeEmpty, f.Name) {
				all = append(all, []string{name, "--" + f.Name, ""}, []string{name, "--" + f.Name + "=", "x"})
			}
		})
		if cmd.Flags().Lookup("config") != nil {
			all = append(all, []string{name, "", "-c", none}, []string{name, "-c", none, "--", ""})
		}
		for _, args := range all {
			if code, stdout, stderr := run(t, args...); code != exitUsage || stdout != "" {
				t.Errorf("warren %q: exit %d, %q, %q", args, code, stdout, stderr)
			}
		}
	}
	for _, args := range [][]string{
		{"drain", ""}, {"undrain", ""}, {"status", ""}, {"status", "--check", ""}, {"status", "--plugin", ""}, {"status", "--routes", ""}, {"history", ""},
		{"check", ""}, {"down", ""}, {"why", "10.0.0.0/8", "--from", ""}, {"keygen", "--secret", ""}, {"keygen", "-d", ""}, {"keygen", "--wg-config", "--endpoint", ""},
		{"import", "-o", "", "x"}, {"import", "x", ""}, {"join", "x", "--peer", ""}, {"join", "x", "--router-id", ""}, {"gobgp", "-c", "", "neighbor"}, {"gobgp", "--config=", "neighbor"}, {"invite", "x", "--import", "10.0.0.0/8", "--transport", ""},
	} {
		if code, _, stderr := run(t, args...); code != exitUsage || !strings.Contains(stderr, "is empty: is a variable not set?") {
			t.Errorf("warren %q: exit %d, %q", args, code, stderr)
		}
	}
	if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
		t.Errorf("%v, %v", made, err)
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

// What is legal and probably wrong is said, and is no reason to end with 1.
func TestCheckWarns(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"warren.toml":         "asn = 64512\nrouter_id = \"10.0.0.1\"\n[announce]\nnetworks = [\"10.253.77.0/24\"]\n[tls]\nlisten = [\"127.0.0.1:443\"]\n",
		"peers.d/site-b.toml": "[tunnel]\nremotes = [\"127.0.0.1:443\"]\nsecret_file = \"b.secret\"\n[bgp]\nasn = 64513\nimport = []\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, stderr := run(t, "keygen", "--secret", filepath.Join(dir, "b.secret")); code != 0 {
		t.Fatalf("keygen: %s", stderr)
	}
	file := filepath.Join(dir, "warren.toml")
	code, stdout, stderr := run(t, "check", "-c", file)
	want := []string{
		"warning: " + filepath.Join(dir, "peers.d/site-b.toml") + ":2: tunnel.remotes: \"127.0.0.1:443\" is this router itself: ",
		"warning: " + file + ":4: announce.networks: \"10.253.77.0/24\" has no address of this host inside: ",
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "hint: ") }) // which are about this host
	if code != 0 || stderr != "" || len(lines) != 3 || !strings.HasPrefix(lines[0], file+": ok, ") {
		t.Fatalf("exit %d, %q, %q", code, stdout, stderr)
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i+1], w) {
			t.Errorf("got  %s\nwant %s", lines[i+1], w)
		}
	}
}

// What was called rightly and does not succeed ends with 1.
func TestNotSucceeding(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "warren.toml")
	for _, args := range [][]string{
		{"check", "-c", nowhere}, {"status", "-c", nowhere}, {"why", "10.2.0.0/24", "-c", nowhere}, {"reload", "-c", nowhere}, {"restart", "-c", nowhere}, {"log-level", "info", "-c", nowhere},
	} {
		if code, _, stderr := run(t, args...); code != exitFailed || !strings.Contains(stderr, nowhere) {
			t.Errorf("warren %v: exit %d, %q", args, code, stderr)
		}
	}
	if code, stdout, _ := run(t, "version"); code != 0 || !strings.HasPrefix(stdout, "warren ") {
		t.Errorf("warren version: exit %d, %q", code, stdout)
	}
}
