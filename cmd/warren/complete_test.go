package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// routerWithPeers makes a config with these peers, and returns its path. No key exists.
func routerWithPeers(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, "peers.d", name+".toml"), []byte("[bgp]\nasn = 64513\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "warren.toml")
}

// completed is what a shell offers: a line for each, and at the end cobra's directive.
func completed(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := run(t, append([]string{"__complete"}, args...)...)
	if code != 0 {
		t.Fatalf("warren __complete %q: exit %d, %s", args, code, stderr)
	}
	return strings.TrimSpace(stdout)
}

func TestCompletion(t *testing.T) {
	const nothingElse, toml, files = "\n:4", "toml\n:8", ":0"
	c := routerWithPeers(t, "site-b", "site-c", "hub")
	for _, test := range []struct{ args, want string }{
		{"status -c " + c + " ", "hub\nsite-b\nsite-c" + nothingElse},
		{"status -c " + c + " site", "site-b\nsite-c" + nothingElse},
		{"status --config=" + c + " --check h", "hub" + nothingElse},
		{"status -c " + c + " site-b ", ":4"},
		{"status -c " + c + " --routes ", ":4"},
		{"history -c " + c + " ", "hub\nsite-b\nsite-c" + nothingElse},
		{"why -c " + c + " 10.2.0.0/16 --from ", "hub\nsite-b\nsite-c" + nothingElse},
		{"why -c " + c + " 10.2.0.0/16 --to h", "hub" + nothingElse},
		{"why -c " + c + " ", ":4"},
		{"reload ", ":4"},
		{"check -c ", toml},
		{"run -c ", toml},
		{"run --log-format ", "text\njson" + nothingElse},
		{"keygen --secret ", files},
		{"keygen -d ", ":16"},
		{"log-level ", "debug\ninfo\nwarn\nerror" + nothingElse},
		{"status -c /no/such/warren.toml ", ":4"},
	} {
		if got := completed(t, strings.Split(test.args, " ")...); got != test.want {
			t.Errorf("warren %s<TAB>:\n%s\nwant\n%s", test.args, got, test.want)
		}
	}
}

// A new command with [PEER] or PEER in its use, or a new flag that takes a `peer`, completes names too.
func TestEveryPeerIsCompleted(t *testing.T) {
	c := routerWithPeers(t, "site-b")
	for _, cmd := range root().Commands() {
		if cmd.Hidden {
			continue
		}
		first := strings.Fields(cmd.Use + " .")[1]
		if strings.Trim(first, "[]") == "PEER" {
			if got := completed(t, cmd.Name(), "-c", c, ""); !strings.HasPrefix(got, "site-b\n") {
				t.Errorf("warren %s: %s", cmd.Name(), got)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if kind, _ := pflag.UnquoteUsage(f); strings.EqualFold(kind, "peer") {
				if got := completed(t, cmd.Name(), "-c", c, "--"+f.Name, ""); !strings.HasPrefix(got, "site-b\n") {
					t.Errorf("warren %s --%s: %s", cmd.Name(), f.Name, got)
				}
			}
		})
	}
}
