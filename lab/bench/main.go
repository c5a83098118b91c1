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

	"warren/lab/topo"
)

// options are the command line's.
type options struct {
	rounds  int
	seconds int
	idle    int
	only    string
	bin     string
	out     string
}

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "udp-") {
		exitOn(udpMain(os.Args[1:]))
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the median of them counts")
	flag.IntVar(&o.seconds, "seconds", 5, "length of each test in seconds")
	flag.IntVar(&o.idle, "idle", 200, "further idle tunnels of Warren in one process; 0 leaves that part out")
	flag.StringVar(&o.only, "only", "", "comma-separated contenders, of "+strings.Join(names(contenders("")), ","))
	flag.StringVar(&o.bin, "bin", "bin", "directory of the warren and wireguard-go binaries")
	flag.StringVar(&o.out, "out", "docs/bench", "write the results to this path with .md and .json appended")
	flag.Parse()
	exitOn(topo.Reexec())

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exitOn(bench(ctx, o))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, o options) (err error) {
	if o.rounds < 1 || o.seconds < 2 || o.idle < 0 {
		return errors.New("want -rounds of at least 1, -seconds of at least 2 and -idle of at least 0")
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
	r := &report{Machine: describeMachine(), Rounds: o.rounds, Seconds: o.seconds}
	if err := runRounds(ctx, o, chosen, r); err != nil {
		return err
	}
	if o.idle > 0 && contains(chosen, nameWarren) {
		if r.Idle, err = measureIdleTunnels(ctx, filepath.Join(bin, "warren"), o.idle); err != nil {
			return err
		}
	}
	r.Targets = judge(r)
	fmt.Println()
	fmt.Print(r.text())
	return r.write(o.out)
}

// checkTools names everything that is missing before anything is measured.
func checkTools(chosen []contender, bin string) error {
	var missing []string
	for _, tool := range []string{"ip", "iperf3", "ping", "ss", "openvpn", "wg"} {
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
