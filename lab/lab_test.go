//go:build lab

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/topo"
)

// bin is the directory of the binaries under test, set by TestMain.
var bin string

func TestMain(m *testing.M) {
	if err := topo.Reexec(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var err error
	if bin, err = filepath.Abs("../bin"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, name := range []string{"warren", "gobgp", "hostile", "wireguard-go"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			fmt.Fprintln(os.Stderr, "lab: run `make build bin/wireguard-go` first:", err)
			os.Exit(1)
		}
	}
	if err := os.Setenv("PATH", bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestScenarios(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "scenarios",
		RequireUniqueNames: true,
		Setup:              setup,
		Cmds:               commands,
	})
}

// setup gives each scenario an empty topology.
func setup(env *testscript.Env) error {
	ctx, cancel := bounded()
	defer cancel()
	t, err := topo.New(ctx, "lab")
	if err != nil {
		return err
	}
	s := &scenario{topo: t, work: env.WorkDir, hosts: map[string]*topo.Host{}, links: map[string]*topo.Link{}, daemons: map[string]*topo.Process{},
		homes: map[string]*home{}, fingerprints: map[string]string{}}
	env.Values[scenarioKey{}] = s
	env.Setenv("PATH", os.Getenv("PATH"))
	env.Defer(func() {
		s.stopAll()
		if err := t.Close(); err != nil {
			env.T().Log("close topology:", err)
		}
	})
	return nil
}

// bounded bounds a command of a scenario that gives no bound of its own. The
// longest, a series of attacks with the pauses that the victim imposes, takes
// a minute and a half.
func bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 3*time.Minute)
}

// TestCommandsAreOurs makes sure that no command of a scenario has the name of
// one of testscript's own, which would be run instead: `stop`, for one, would
// end the scenario there and count it as passed.
func TestCommandsAreOurs(t *testing.T) {
	for _, builtin := range []string{
		"cd", "chmod", "cmp", "cmpenv", "cp", "env", "exec", "exists", "grep", "kill", "mkdir", "mv", "rm", "skip",
		"stderr", "stdin", "stdout", "stop", "symlink", "ttyin", "ttyout", "unix2dos", "unquote", "wait",
	} {
		if commands[builtin] != nil {
			t.Errorf("%s is a command of testscript's own: choose another name", builtin)
		}
	}
}
