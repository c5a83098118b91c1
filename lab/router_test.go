//go:build lab

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/topo"
)

// What `warren keygen` prints for the peer's config.
var (
	fingerprint = regexp.MustCompile(`fingerprint = "(SHA256:[0-9A-F:]+)"`)
	publicKey   = regexp.MustCompile(`public_key = "([A-Za-z0-9+/]{43}=)"`)
)

func keygen(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	for _, name := range args {
		h, err := s.host(name)
		if err != nil {
			return err
		}
		ctx, cancel := bounded()
		out, err := h.Run(ctx, "warren", "keygen", "-d", filepath.Join(s.work, name))
		cancel()
		if err != nil {
			return err
		}
		fp, pub := fingerprint.FindStringSubmatch(out), publicKey.FindStringSubmatch(out)
		if fp == nil || pub == nil {
			return fmt.Errorf("keygen printed no fingerprint or no public_key: %s", out)
		}
		ts.Setenv("FINGERPRINT_"+envName(name), fp[1])
		ts.Setenv("PUBLIC_KEY_"+envName(name), pub[1])
	}
	return nil
}

// envName makes a host's name usable in a variable's.
func envName(host string) string { return strings.ReplaceAll(host, "-", "_") }

// expand fills the script's variables into every TOML file of a host.
func (s *scenario) expand(ts *testscript.TestScript, host string) error {
	files, err := filepath.Glob(filepath.Join(s.work, host, "*.toml"))
	if err != nil {
		return err
	}
	peers, err := filepath.Glob(filepath.Join(s.work, host, "peers.d", "*.toml"))
	if err != nil {
		return err
	}
	ts.Setenv("SOCKET", filepath.Join(s.work, host, "warren.sock"))
	for _, f := range append(files, peers...) {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(f, []byte(os.Expand(string(text), ts.Getenv)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func start(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	return s.startAll(ts, args)
}

func startV4(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	return s.startAll(ts, args, "hostile", "no-ipv6")
}

func startOld(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	return s.startAll(ts, args, "hostile", "no-next-hop-objects")
}

// startAll starts the daemons of hosts, by a command that runs them if there is one.
func (s *scenario) startAll(ts *testscript.TestScript, hosts []string, by ...string) error {
	for _, name := range hosts {
		h, err := s.host(name)
		if err != nil {
			return err
		}
		if err := s.expand(ts, name); err != nil {
			return err
		}
		p, err := h.Start(slices.Concat(by, []string{"warren", "run", "-c", s.configFile(name)})...)
		if err != nil {
			return err
		}
		s.daemons[name] = p
	}
	return nil
}

func startTo(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 2, "start-to HOST FILE"); err != nil {
		return err
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	if err := s.expand(ts, args[0]); err != nil {
		return err
	}
	p, err := h.Start("sh", "-c", `exec warren run -c "$0" 2>"$1"`, s.configFile(args[0]), ts.MkAbs(args[1]))
	if err != nil {
		return err
	}
	s.daemons[args[0]] = p
	return nil
}

func (s *scenario) daemon(args []string) (*topo.Process, error) {
	if len(args) == 0 || s.daemons[args[0]] == nil {
		return nil, fmt.Errorf("no daemon was started on %v", args)
	}
	return s.daemons[args[0]], nil
}

func hup(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	p, err := s.daemon(args)
	if err != nil {
		return err
	}
	p.Signal(syscall.SIGHUP)
	return nil
}

func terminate(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	p, err := s.daemon(args)
	if err != nil {
		return err
	}
	s.ended[p] = true
	ctx, cancel := bounded()
	defer cancel()
	return p.Stop(ctx)
}

func kill9(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	p, err := s.daemon(args)
	if err != nil {
		return err
	}
	s.ended[p] = true
	p.Kill9()
	ctx, cancel := bounded()
	defer cancel()
	p.Wait(ctx)
	return ctx.Err()
}

func putConfig(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 2, "config HOST/FILE FROM"); err != nil {
		return err
	}
	host, _, _ := strings.Cut(args[0], "/")
	to := filepath.Join(s.work, args[0])
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to, []byte(ts.ReadFile(args[1])), 0o600); err != nil {
		return err
	}
	return s.expand(ts, host)
}

func reload(s *scenario, ts *testscript.TestScript, neg bool, args []string) error {
	if err := need(args, 1, "reload HOST [CONDITIONS]"); err != nil {
		return err
	}
	return on(s, ts, neg, append([]string{args[0], "warren", "reload"}, args[1:]...))
}

// logQuiet is how long a log is watched for a line that must not come.
const logQuiet = time.Second

func logHas(s *scenario, _ *testscript.TestScript, neg bool, args []string) error {
	if err := need(args, 2, "log HOST REGEXP"); err != nil {
		return err
	}
	p, err := s.daemon(args)
	if err != nil {
		return err
	}
	re, err := regexp.Compile("(?m)" + args[1])
	if err != nil {
		return err
	}
	look := func() error {
		if re.MatchString(p.Log()) == neg {
			return fmt.Errorf("log of %s, looking for %q (not: %v)", args[0], args[1], neg)
		}
		return nil
	}
	ctx, cancel := bounded()
	defer cancel()
	if neg {
		return topo.Throughout(ctx, holdInterval, logQuiet, look)
	}
	_, err = topo.Eventually(ctx, waitInterval, patience, look)
	return err
}

func running(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	p, err := s.daemon(args)
	if err != nil {
		return err
	}
	if !p.Running() {
		return fmt.Errorf("the daemon on %s has died", args[0])
	}
	return nil
}
