package topo

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Host is one network namespace.
type Host struct {
	Name  string // as given to Topology.Host
	Netns string // its name for `ip netns`

	topology *Topology
	sysctls  []string
	entry    string // a shell script that runs its arguments: see enter

	mu     sync.Mutex
	routes []string // as `ip route` takes them; Iface.Up restores them
}

// HostOption changes how Topology.Host makes a Host.
type HostOption func(h *Host, rpFilter *int)

// Forwarding makes the host a router for both families.
func Forwarding() HostOption {
	return func(h *Host, _ *int) {
		h.sysctls = append(h.sysctls, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	}
}

// RPFilter sets reverse path filtering on all interfaces: 0 off (the default
// here), 1 strict, 2 loose.
func RPFilter(mode int) HostOption {
	return func(_ *Host, rpFilter *int) { *rpFilter = mode }
}

// Run runs a command on the host to its end, bounded by ctx, and returns what it
// printed on both outputs; the error holds that too.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	return command(ctx, "", h.inside(argv)...)
}

// IP runs one `ip` command per line, each given without the leading "ip", and
// stops at the first that fails.
func (h *Host) IP(ctx context.Context, lines ...string) error {
	_, err := command(ctx, strings.Join(lines, "\n")+"\n", "ip", "-n", h.Netns, "-batch", "-")
	return err
}

// Sysctl sets each NAME=VALUE.
func (h *Host) Sysctl(ctx context.Context, assignments ...string) error {
	_, err := h.Run(ctx, append([]string{"sysctl", "-qw"}, assignments...)...)
	return err
}

// Route adds or replaces a static route to prefix ("default" is written
// 0.0.0.0/0 or ::/0) through the router at via. It is put back when an
// interface that was set down comes up again.
func (h *Host) Route(ctx context.Context, prefix, via string) error {
	dst, err := netip.ParsePrefix(prefix)
	if err != nil {
		return fmt.Errorf("topo: route on %s: %w", h.Name, err)
	}
	gateway, err := netip.ParseAddr(via)
	if err != nil {
		return fmt.Errorf("topo: route to %s on %s: %w", prefix, h.Name, err)
	}
	line := fmt.Sprintf("route replace %s via %s proto static", dst, gateway)
	if err := h.IP(ctx, line); err != nil {
		return err
	}
	h.mu.Lock()
	h.routes = append(h.routes, line)
	h.mu.Unlock()
	return nil
}

// RouteGone removes a route that Route added.
func (h *Host) RouteGone(ctx context.Context, prefix, via string) error {
	rest := fmt.Sprintf("%s via %s proto static", prefix, via)
	h.mu.Lock()
	kept := h.routes[:0]
	for _, r := range h.routes {
		if r != "route replace "+rest {
			kept = append(kept, r)
		}
	}
	h.routes = kept
	h.mu.Unlock()
	return h.IP(ctx, "route del "+rest)
}

// Masquerade translates the source of every IPv4 packet that leaves through the
// interface to the interface's own address, as a home router does. Once is enough.
func (h *Host) Masquerade(ctx context.Context, ifname string) error {
	return h.nft(ctx, fmt.Sprintf(`
		table ip topo-nat {
			chain postrouting {
				type nat hook postrouting priority srcnat;
				oifname %q masquerade
			}
		}`, ifname))
}

// nft applies a ruleset.
func (h *Host) nft(ctx context.Context, ruleset string) error {
	_, err := command(ctx, ruleset, h.inside([]string{"nft", "-f", "-"})...)
	return err
}

// inside is the command line that runs argv on the host. `ip netns exec` and the
// shell replace themselves with the command, so a process number is the command's own.
func (h *Host) inside(argv []string) []string {
	return append([]string{"ip", "netns", "exec", h.Netns, "sh", h.entry}, argv...)
}

// controlSockets is where wireguard-go has a socket for each interface, by its
// name, and wg looks for it. Network namespaces share the file system.
const controlSockets = "/run/wireguard"

// enter gives the host's commands a directory of their own in the place of
// controlSockets, as a machine of its own has: `ip netns exec` puts each into a
// mount namespace already.
func (h *Host) enter() error {
	own := filepath.Join(h.topology.dir, "enter-"+h.Name)
	h.entry = filepath.Join(own, "enter")
	script := `mount --bind "${0%/*}/wireguard" ` + controlSockets + ` && exec "$@"` + "\n"
	err := os.MkdirAll(filepath.Join(own, "wireguard"), 0o700)
	if err == nil {
		err = os.MkdirAll(controlSockets, 0o755)
	}
	if err == nil {
		err = os.WriteFile(h.entry, []byte(script), 0o600)
	}
	if err != nil {
		return fmt.Errorf("topo: host %s: %w", h.Name, err)
	}
	return nil
}
