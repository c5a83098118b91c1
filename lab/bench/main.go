package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"warren/lab/topo"
)

// options are the command line's.
type options struct {
	rounds        int
	seconds       int
	loss          int
	idle          int
	idleWireGuard int
	only          string
	bin           string
	out           string
	readme        string
	speed         string
	table         partChoice
	failover      partChoice
	paths         partChoice
	congestion    partChoice
	peers         int
	spokes        int
	keepalive     time.Duration
	deadAfter     time.Duration
	letHalt       bool
	prefixes      int
	rest          time.Duration
	load          time.Duration
}

// helpers are what this program is when it is run again by itself, with the name before the arguments.
var helpers = map[string]func(args []string) error{
	"udp-send":     udpMain,
	"udp-receive":  udpMain,
	"flow-send":    flowMain,
	"flow-receive": flowMain,
	"sealing":      sealingMain,
	"stay-awake":   func([]string) error { return stayAwake() },
}

func main() {
	if len(os.Args) > 1 && helpers[os.Args[1]] != nil {
		exitOn(helpers[os.Args[1]](os.Args[1:]))
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the median of them counts; 0 leaves that part out")
	flag.IntVar(&o.seconds, "seconds", 4, "length of each test in seconds")
	flag.IntVar(&o.loss, "loss", 3, "rounds on each lossy path; the median of them counts; 0 leaves that part out")
	flag.IntVar(&o.idle, "idle", 200, "further idle tunnels of Warren over TLS in one process; 0 leaves that part out")
	flag.IntVar(&o.idleWireGuard, "idle-wireguard", 999, "the same over WireGuard")
	flag.StringVar(&o.only, "only", "", "comma-separated contenders, of "+strings.Join(names(contenders("")), ",")+"; with -table, -failover, -paths or -congestion of theirs")
	flag.StringVar(&o.bin, "bin", "bin", "directory of the warren and wireguard-go binaries")
	flag.StringVar(&o.out, "out", "docs/bench", "write the results to this path with .md and .json appended")
	flag.StringVar(&o.readme, "readme", "", "rewrite what is between the bench's markers in this `file`, if nothing was left out")
	flag.StringVar(&o.speed, "speed", "", "with -table, -failover, -paths or -congestion the same in this `file`, which is beside the results")
	flag.Var(&o.table, "table", "measure what large tables cost instead, beside other BGP routers; results go to -out with -table "+
		"appended; alone it stands for all `parts`, -table=NAMES for some")
	flag.Var(&o.failover, "failover", "measure what packets notice of failures instead, the same way")
	flag.Var(&o.paths, "paths", "measure tunnels over long, lossy and narrow paths instead, the same way")
	flag.Var(&o.congestion, "congestion", "measure the congestion controls of Warren's connections over TLS instead, the same way; in one round if -rounds is not given")
	flag.IntVar(&o.prefixes, "prefixes", fullSize, "IPv4 prefixes of -table and -failover; parts with smaller tables take their share")
	flag.IntVar(&o.peers, "peers", 10, "peers of the part of -table with several")
	flag.IntVar(&o.spokes, "spokes", fullSpokes, "spokes of the part of -failover with two hubs, each a process of some 25 MB")
	flag.DurationVar(&o.load, "load", fullLoad, "how long the part of -failover about false alarms takes")
	flag.DurationVar(&o.rest, "rest", fullRest, "how long after the withdrawal of all -table reads the memory")
	flag.DurationVar(&o.keepalive, "keepalive", failoverKeepalive, "keepalive of Warren where a line fails")
	flag.DurationVar(&o.deadAfter, "dead-after", failoverDeadAfter, "dead_after of Warren where a line fails")
	flag.BoolVar(&o.letHalt, "let-halt", false, "let idle processors halt, as a machine with other work to do wants; figures move more, and no document is rewritten but the results")
	flag.Parse()
	exitOn(topo.Reexec())

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen, err := chosenSuite(o)
	exitOn(err)
	if chosen != nil {
		if chosen.rounds > 0 && !isGiven("rounds") {
			o.rounds = chosen.rounds
		}
		exitOn(chosen.run(ctx, o))
		return
	}
	exitOn(bench(ctx, o))
}

// isGiven tells whether a flag is on the command line.
func isGiven(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, o options) (err error) {
	if o.rounds < 0 || o.seconds < 2 || o.loss < 0 || o.idle < 0 || o.idleWireGuard < 0 {
		return errors.New("want -seconds of at least 2, and -rounds, -loss, -idle and -idle-wireguard of at least 0")
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	chosen, err := choose(contenders(bin), o.only)
	if err != nil {
		return err
	}
	if err := checkTools(chosen, bin); err != nil {
		return err
	}
	if o.readme != "" {
		if err := tunnelSection.check(o.readme); err != nil {
			return err
		}
	}
	letSleep, err := keepAwake(o.letHalt)
	if err != nil {
		return err
	}
	defer letSleep()
	r := &report{Machine: describeMachine(o.letHalt), Rounds: o.rounds, Seconds: o.seconds}
	failed := r.measure(ctx, o, chosen, filepath.Join(bin, "warren"))
	if ctx.Err() != nil {
		return failed
	}
	r.Targets = judge(r)
	fmt.Println()
	fmt.Print(r.document().text())
	if err := r.document().write(o.out, r); err != nil || failed != nil || o.readme == "" {
		return errors.Join(failed, err)
	}
	return r.writeReadme(o.readme)
}

// measure fills in the parts of the report that are asked for. A part that fails
// costs only itself, unless ctx is done.
func (r *report) measure(ctx context.Context, o options, chosen []contender, warrenFile string) error {
	var errs []error
	if o.rounds > 0 {
		errs = append(errs, runRounds(ctx, o, chosen, r))
	}
	if o.loss > 0 && ctx.Err() == nil {
		var err error
		r.Loss, err = measureLoss(ctx, o, chosen)
		errs = append(errs, err)
	}
	for _, part := range []struct {
		name, transport string
		further         int
	}{{nameWarren, transportTLS, o.idle}, {nameWarrenWireGuard, transportWireGuard, o.idleWireGuard}} {
		if part.further == 0 || !contains(chosen, part.name) || ctx.Err() != nil {
			continue
		}
		idle, err := measureIdle(ctx, warrenFile, part.transport, part.further)
		if err == nil {
			r.Idle = append(r.Idle, *idle)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkTools names everything that is missing before anything is measured.
func checkTools(chosen []contender, bin string) error {
	var missing []string
	for _, tool := range []string{"ip", "iperf3", "ping", "ss", "openvpn", "wg", "nft", "ethtool"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing commands: %s: run `make deps`", strings.Join(missing, " "))
	}
	for _, c := range chosen {
		file := c.binary()
		if file == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(bin, file)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no %s in %s: run `make build bin/wireguard-go`", file, bin)
		}
	}
	return nil
}
