//go:build lab

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/path"
	"warren/lab/topo"
)

// bin is the directory of the binaries under test, set by TestMain.
var bin string

func TestMain(m *testing.M) {
	// With one that lets a group write, the scenarios' files would be refused.
	syscall.Umask(0o022)
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
	if text := os.Getenv("LAB_PATIENCE"); text != "" {
		if patience, err = time.ParseDuration(text); err != nil {
			fmt.Fprintln(os.Stderr, "LAB_PATIENCE:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func TestScenarios(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "scenarios",
		RequireUniqueNames: true,
		Setup:              setup,
		Cmds:               commands,
		Condition:          holdsHere,
	})
}

// holdsHere knows one condition: [users], whether there is any user besides root. A user
// namespace that an ordinary user made has no other.
func holdsHere(name string) (bool, error) {
	if name != "users" {
		return false, fmt.Errorf("there is no condition %q", name)
	}
	return !topo.Unprivileged(), nil
}

// setup gives each scenario an empty topology.
func setup(env *testscript.Env) error {
	ctx, cancel := bounded()
	defer cancel()
	t, err := topo.New(ctx, "lab")
	if err != nil {
		return err
	}
	s := &scenario{topo: t, work: env.WorkDir, hosts: map[string]*topo.Host{}, links: map[string]*topo.Link{}, paths: map[string]*path.Path{}, daemons: map[string]*topo.Process{}, ended: map[*topo.Process]bool{},
		homes: map[string]*home{}, fingerprints: map[string]string{}}
	env.Values[scenarioKey{}] = s
	env.Setenv("PATH", os.Getenv("PATH"))
	env.Defer(func() {
		faults := s.faults()
		s.stopAll()
		if err := t.Close(); err != nil {
			env.T().Log("close topology:", err)
		}
		if faults != nil {
			env.T().Fatal(faults)
		}
	})
	return nil
}

// patience is how long a scenario waits for what it gives no time for. Nothing that
// works takes nearly as long on a machine with nothing else to do; where 90 processes wait for two
// processors a minute was too short. LAB_PATIENCE sets another bound, as a Go duration.
var patience = 3 * time.Minute

// bounded bounds a command of a scenario that gives no bound of its own. The
// longest, a series of attacks with the pauses that the victim imposes, takes
// a minute and a half.
func bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 4*time.Minute+2*patience)
}
