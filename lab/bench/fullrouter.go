package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"warren/lab/topo"
)

const (
	nameBIRD   = "bird"
	nameFRR    = "frr"
	nameGoBGPD = "gobgpd"

	frrDirectory = "/usr/lib/frr"
	routerID     = "10.255.0.1"
)

// fullRouter is a BGP router that can be measured with a full table.
type fullRouter interface {
	// name is its key in flags and JSON, title what people read.
	name() string
	title() string
	// needs lists the commands that it consists of.
	needs() []string
	// version says which release is measured.
	version(ctx context.Context) (string, error)
	// start starts it on the pair's router, to take in up to so many prefixes from each feeder
	// and announce none.
	start(ctx context.Context, p *fullPair, prefixes int) (*fullDaemon, error)
}

// fullDaemon is a router that runs.
type fullDaemon struct {
	// procs are all its processes but for their children.
	procs []*topo.Process
	// kernel is where it writes its routes, nil for a router that writes none.
	kernel *kernelRoutes
	// count asks such a router how many prefixes its own table has.
	count func(context.Context) (int, error)
}

// intoKernel is a daemon that writes its routes to the router's kernel.
func intoKernel(p *fullPair, procs ...*topo.Process) *fullDaemon {
	return &fullDaemon{procs: procs, kernel: p.kernel}
}

// fullRouters lists them in the order in which they take turns.
func fullRouters(bin string) []fullRouter {
	return []fullRouter{&fullWarren{bin}, bird{}, frr{}, &gobgpd{bin}}
}

// firstLine runs a command and returns the first line that it prints, on either output.
func firstLine(ctx context.Context, argv ...string) (string, error) {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("version: %s: %w\n%s", argv[0], err, out)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}

// fullFile writes a configuration to the topology's directory and returns its path.
func fullFile(p *fullPair, name, text string) (string, error) {
	path := filepath.Join(p.Dir(), name)
	return path, writeFile(path, text)
}

// fullWarren is Warren with an external tunnel.
type fullWarren struct{ bin string }

func (*fullWarren) name() string      { return nameWarren }
func (*fullWarren) title() string     { return "Warren" }
func (w *fullWarren) needs() []string { return []string{filepath.Join(w.bin, "warren")} }
func (w *fullWarren) version(ctx context.Context) (string, error) {
	return firstLine(ctx, w.needs()[0], "version")
}

func (w *fullWarren) start(ctx context.Context, p *fullPair, prefixes int) (*fullDaemon, error) {
	r, err := topo.NewWarren(ctx, p.router, w.needs()[0])
	if err != nil {
		return nil, err
	}
	if err := configureFull(r, p.feed.lines, prefixes); err != nil {
		return nil, err
	}
	if err := r.Start(); err != nil {
		return nil, err
	}
	return intoKernel(p, r.Process), nil
}

// configureFull writes Warren's configuration.
func configureFull(r *topo.Warren, lines []*feedLine, prefixes int) error {
	err := r.Configure(fmt.Sprintf("asn = %d\nrouter_id = %q\n\n[api]\nsocket = %q\n", fullRouterASN, routerID, r.Socket()))
	if err != nil {
		return err
	}
	return configureFeed(r, lines, feedPeers{imports: `["any"]`, prefixes: prefixes, probed: true})
}

// feedPeers is how a router takes in its feeders.
type feedPeers struct {
	imports  string // in TOML
	prefixes int    // how many each may announce
	probed   bool   // a feeder that does not answer pings is given up
}

// configureFeed writes a peer's file for each feeder.
func configureFeed(r *topo.Warren, lines []*feedLine, c feedPeers) error {
	probe := "none"
	if c.probed {
		probe = "icmp"
	}
	for _, l := range lines {
		err := r.ConfigurePeer(l.ifname, fmt.Sprintf(`[tunnel]
transport = "external"
interface = %q
peer_address = %q
probe = %q

[bgp]
asn = %d
import = %s
export = []
max_prefixes = %d
`, l.ifname, l.addr, probe, l.asn, c.imports, c.prefixes))
		if err != nil {
			return err
		}
	}
	return nil
}

// bird is BIRD with the kernel protocol.
type bird struct{}

func (bird) name() string                                { return nameBIRD }
func (bird) title() string                               { return "BIRD" }
func (bird) needs() []string                             { return []string{"bird"} }
func (bird) version(ctx context.Context) (string, error) { return firstLine(ctx, "bird", "--version") }

func (bird) start(_ context.Context, p *fullPair, _ int) (*fullDaemon, error) {
	text := fmt.Sprintf("router id %s;\nprotocol device { }\nprotocol kernel { ipv4 { import none; export all; }; }\n", routerID) +
		birdFeed(p.feed.lines, fullRouterASN)
	file, err := fullFile(p, "bird.conf", text)
	if err != nil {
		return nil, err
	}
	daemon, err := p.router.Start("bird", "-f", "-c", file, "-s", filepath.Join(p.Dir(), "bird.ctl"))
	if err != nil {
		return nil, err
	}
	return intoKernel(p, daemon), nil
}

// birdFeed is the part of BIRD's configuration for the feeders.
func birdFeed(lines []*feedLine, asn int) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, `protocol bgp %s {
  connect delay time 1;
  local %s as %d;
  neighbor %s as %d;
  ipv4 { import all; export none; };
}
`, l.ifname, l.router, asn, l.addr, l.asn)
	}
	return b.String()
}

// frr is FRR's zebra and bgpd.
type frr struct{}

func (frr) name() string    { return nameFRR }
func (frr) title() string   { return "FRR" }
func (frr) needs() []string { return []string{frrDirectory + "/zebra", frrDirectory + "/bgpd"} }
func (frr) version(ctx context.Context) (string, error) {
	line, err := firstLine(ctx, frrDirectory+"/bgpd", "--version")
	return strings.Replace(line, "bgpd version", "FRR", 1), err
}

// frrStart makes root a member of the group without which FRR's daemons refuse their user. An
// ordinary user's namespace has no such group; the mount is this command's own.
const frrStart = `sed 's/^frrvty:.*/frrvty:x:0:root/' /etc/group > "$0/group"
mount --bind "$0/group" /etc/group
exec "$@"`

func (frr) start(ctx context.Context, p *fullPair, _ int) (*fullDaemon, error) {
	dir := filepath.Join(p.Dir(), "frr")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	run := func(name, config string, args ...string) (*topo.Process, error) {
		file, err := fullFile(p, filepath.Join("frr", name+".conf"), config)
		if err != nil {
			return nil, err
		}
		line := []string{"sh", "-c", frrStart, dir, filepath.Join(frrDirectory, name), "-u", "root", "-g", "root", "-f", file,
			"-i", filepath.Join(dir, name+".pid"), "-z", filepath.Join(dir, "zserv.api"),
			"--vty_socket", dir, "-P", "0", "--log", "stdout"}
		return p.router.Start(append(line, args...)...)
	}
	// With the netlink buffer that Debian's /etc/frr/daemons gives it.
	zebra, err := run("zebra", "", "-s", "90000000")
	if err != nil {
		return nil, err
	}
	_, err = topo.Eventually(ctx, 20*time.Millisecond, fullReady, func() error {
		_, err := os.Stat(filepath.Join(dir, "zserv.api"))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("zebra: %w\nits log:\n%s", err, tail(zebra.Log()))
	}
	config := fmt.Sprintf("router bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n", fullRouterASN, routerID)
	for _, l := range p.feed.lines {
		config += fmt.Sprintf(" neighbor %s remote-as %d\n neighbor %[1]s timers connect 1\n", l.addr, l.asn)
	}
	bgpd, err := run("bgpd", config)
	if err != nil {
		return nil, err
	}
	return intoKernel(p, zebra, bgpd), nil
}

// gobgpd is GoBGP's own daemon, as released, which writes nothing to the kernel.
type gobgpd struct{ bin string }

func (*gobgpd) name() string  { return nameGoBGPD }
func (*gobgpd) title() string { return "gobgpd, no kernel" }
func (g *gobgpd) needs() []string {
	return []string{filepath.Join(g.bin, "gobgpd"), filepath.Join(g.bin, "gobgp")}
}
func (g *gobgpd) version(ctx context.Context) (string, error) {
	return firstLine(ctx, g.needs()[0], "--version")
}

var gobgpPaths = regexp.MustCompile(`Path: (\d+)`)

func (g *gobgpd) start(_ context.Context, p *fullPair, _ int) (*fullDaemon, error) {
	config := fmt.Sprintf("[global.config]\nas = %d\nrouter-id = %q\n", fullRouterASN, routerID)
	for _, l := range p.feed.lines {
		config += fmt.Sprintf(`
[[neighbors]]
[neighbors.config]
neighbor-address = %q
peer-as = %d
[neighbors.timers.config]
connect-retry = 1
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv4-unicast"
`, l.addr, l.asn)
	}
	file, err := fullFile(p, "gobgpd.toml", config)
	if err != nil {
		return nil, err
	}
	daemon, err := p.router.Start(g.needs()[0], "-f", file)
	if err != nil {
		return nil, err
	}
	count := func(ctx context.Context) (int, error) {
		out, err := p.router.Run(ctx, g.needs()[1], "global", "rib", "summary")
		if err != nil {
			return 0, err
		}
		m := gobgpPaths.FindStringSubmatch(out)
		if m == nil {
			return 0, errors.New("gobgp: no number of paths in: " + out)
		}
		return strconv.Atoi(m[1])
	}
	return &fullDaemon{procs: []*topo.Process{daemon}, count: count}, nil
}
