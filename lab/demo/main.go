package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"warren/lab/topo"
)

const (
	// name is that of a kept demo: namespaces demo-site-a, demo-lan-a, …
	name = "demo"
	// within bounds the whole demo, stepWithin what it waits for; how long that took is
	// printed. A machine that does something else besides takes many times as long.
	within     = 3 * time.Minute
	stepWithin = time.Minute
)

func main() {
	down := flag.Bool("down", false, "remove the demo that KEEP=1 has left")
	page := flag.Bool("page", false, "show browsers of this machine the status page of the demo that KEEP=1 has left")
	socket := flag.String("socket", keptPage(), "the page's socket, for -page")
	inherited := flag.Bool("inherited", false, "listen on descriptor 3, for -page")
	bin := flag.String("bin", "bin", "directory of the warren and gobgp binaries")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if *page {
		err = pageCommand(ctx, *socket, *inherited)
	} else {
		err = run(ctx, *bin, *down)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, down bool) error {
	if err := topo.Reexec(); err != nil {
		return err
	}
	if down {
		return topo.Remove(ctx, name)
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	for _, file := range []string{"warren", "gobgp"} {
		if _, err := os.Stat(filepath.Join(bin, file)); err != nil {
			return fmt.Errorf("%w: run `make build`", err)
		}
	}
	keep := os.Getenv("KEEP") != "" && os.Getenv("KEEP") != "0"
	return demonstrate(ctx, bin, keep)
}

// demonstrate builds the topology, plays the demo and, unless it is to be kept,
// removes everything; a demo that failed is always removed.
func demonstrate(ctx context.Context, bin string, keep bool) (err error) {
	var opts []topo.Option
	if keep {
		opts = append(opts, topo.FixedName())
		if !topo.Unprivileged() {
			opts = append(opts, topo.Keep())
		}
	}
	d := &demo{bin: bin, began: time.Now()}
	t, err := topo.New(ctx, name, opts...)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil && keep && !topo.Unprivileged() {
			return
		}
		err = errors.Join(err, t.Destroy())
	}()
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := d.play(bounded, t); err != nil {
		return fmt.Errorf("%w%s", err, d.logs())
	}
	if keep {
		if err := d.hints(); err != nil {
			return err
		}
		if topo.Unprivileged() {
			// The user namespace and everything in it end with this process.
			<-ctx.Done()
		}
		return nil
	}
	return d.finish(bounded)
}

// demo is the state of one run.
type demo struct {
	bin   string
	began time.Time
	sites *topo.TwoSites
	a, b  *topo.Warren
}

func (d *demo) play(ctx context.Context, t *topo.Topology) (err error) {
	d.step("two sites, each a router and a host on its LAN, and an underlay that knows neither LAN")
	fmt.Print(picture)
	if d.sites, err = topo.AddTwoSites(ctx, t); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{
		d.unreachable, d.keys, d.configure, d.start, d.show, d.live,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

const picture = `
      lan-a                site-a                inet               site-b                lan-b
    10.1.0.10/24  ── 10.1.0.1  198.51.100.2 ── router ── 198.51.100.6  10.2.0.1 ──  10.2.0.10/24
  2001:db8:1::10/64            ╚══════ one tunnel, TLS 1.3 ══════╝              2001:db8:2::10/64
`

// unreachable makes sure that only a tunnel can join the LANs.
func (d *demo) unreachable(ctx context.Context) error {
	for _, addr := range []string{topo.LANB4, topo.LANB6} {
		if _, err := d.sites.LanA.Run(ctx, "ping", "-n", "-c", "1", "-W", "0.2", addr); err == nil {
			return fmt.Errorf("%s answers before there is a tunnel", addr)
		}
	}
	d.step("without a tunnel, lan-a does not reach lan-b")
	return nil
}

// start starts both daemons and waits until the LAN hosts reach each other.
func (d *demo) start(ctx context.Context) error {
	d.step("start both daemons")
	began := time.Now()
	for _, w := range []*topo.Warren{d.a, d.b} {
		d.typed(w.Host, "warren", "run", "-c", w.ConfigFile())
		if err := w.Start(); err != nil {
			return err
		}
	}
	for _, addr := range []string{topo.LANB4, topo.LANB6} {
		if err := d.firstPing(ctx, addr); err != nil {
			return fmt.Errorf("first ping from lan-a to %s: %w", addr, err)
		}
		d.step("first ping from lan-a to %s, %d ms after the start", addr, time.Since(began).Milliseconds())
	}
	for _, end := range []struct {
		w    *topo.Warren
		peer string
	}{{d.a, "site-b"}, {d.b, "site-a"}} {
		if _, err := end.w.WaitEstablished(ctx, end.peer, stepWithin); err != nil {
			return err
		}
	}
	return nil
}

// firstPing pings from lan-a until there is an answer, and gives up at once when a
// daemon has ended.
func (d *demo) firstPing(ctx context.Context, addr string) error {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	_, err := topo.Eventually(ctx, 10*time.Millisecond, stepWithin, func() error {
		for _, w := range []*topo.Warren{d.a, d.b} {
			if !w.Process.Running() {
				giveUp()
				return fmt.Errorf("the daemon of %s has ended", w.Host.Name)
			}
		}
		_, err := d.sites.LanA.Run(ctx, "ping", "-n", "-c", "1", "-W", "1", addr)
		return err
	})
	return err
}

// finish stops the daemons and looks for what they should not leave.
func (d *demo) finish(ctx context.Context) error {
	d.step("stop both daemons")
	for _, w := range []*topo.Warren{d.a, d.b} {
		if err := w.Process.Stop(ctx); err != nil {
			return fmt.Errorf("%w%s", err, d.logs())
		}
		if err := d.clean(ctx, w.Host); err != nil {
			return err
		}
	}
	d.step("no owned route and no tunnel interface is left; all of it happened")
	return nil
}

// logs are the daemons' logs, for the message of a failure.
func (d *demo) logs() string {
	out := ""
	for _, w := range []*topo.Warren{d.a, d.b} {
		if w != nil && w.Process != nil {
			out += "\n\nlog of " + w.Host.Name + ":\n" + w.Process.Log()
		}
	}
	return out
}
