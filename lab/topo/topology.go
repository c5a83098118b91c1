package topo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"warren/lab/path"
)

// closeTimeout bounds Close: it must also work when the caller's context is done.
const closeTimeout = 2 * time.Minute

// counter tells apart the topologies of one process.
var counter atomic.Int64

// Topology is a set of hosts and what runs on them.
type Topology struct {
	name string // PREFIX-PID.N, or only PREFIX with FixedName
	dir  string
	keep bool

	mu    sync.Mutex
	hosts []*Host
	procs []*Process
	paths []*path.Path
}

// Option changes how New makes a Topology.
type Option func(*Topology)

// FixedName leaves process number and counter out of the namespaces' names, for
// a topology that people are to look at. New then replaces an earlier one of that name.
func FixedName() Option { return func(t *Topology) { t.name = "" } }

// Keep makes the processes outlive the program, and Close do nothing: a topology
// to look at afterwards. Without FixedName the next New of the same prefix removes it;
// with FixedName, Remove or a New of the same name does.
func Keep() Option { return func(t *Topology) { t.keep = true } }

// New removes the topologies of that prefix whose makers are dead, and makes an
// empty one. The prefix consists of lower-case letters and digits.
func New(ctx context.Context, prefix string, opts ...Option) (*Topology, error) {
	if strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || prefix == "" {
		return nil, fmt.Errorf("topo: prefix %q: want lower-case letters and digits", prefix)
	}
	t := &Topology{name: fmt.Sprintf("%s-%d.%d", prefix, os.Getpid(), counter.Add(1))}
	for _, opt := range opts {
		opt(t)
	}
	if err := removeStale(ctx, prefix); err != nil {
		return nil, err
	}
	if t.name == "" {
		t.name = prefix
		if err := Remove(ctx, t.name); err != nil {
			return nil, err
		}
	}
	t.dir = filepath.Join(os.TempDir(), t.name)
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return nil, fmt.Errorf("topo: working directory: %w", err)
	}
	return t, nil
}

// Dir is a directory of the topology's own, for logs and configurations. It is
// removed with the topology.
func (t *Topology) Dir() string { return t.dir }

// Host makes a namespace with loopback up and duplicate address detection off,
// so that IPv6 addresses work at once.
func (t *Topology) Host(ctx context.Context, name string, opts ...HostOption) (*Host, error) {
	h := &Host{Name: name, Netns: t.name + "-" + name, topology: t}
	h.sysctls = []string{
		// A namespace inherits what the machine has, which forwards where containers run.
		"net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.default.forwarding=0",
		"net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
		"net.ipv6.conf.all.keep_addr_on_down=1", "net.ipv6.conf.default.keep_addr_on_down=1",
	}
	rpFilter := 0
	for _, opt := range opts {
		opt(h, &rpFilter)
	}
	for _, scope := range []string{"all", "default"} {
		h.sysctls = append(h.sysctls, fmt.Sprintf("net.ipv4.conf.%s.rp_filter=%d", scope, rpFilter))
	}
	if err := h.enter(); err != nil {
		return nil, err
	}
	if err := t.record(h.Netns); err != nil {
		return nil, err
	}
	if _, err := command(ctx, "", "ip", "netns", "add", h.Netns); err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.hosts = append(t.hosts, h)
	t.mu.Unlock()
	if err := h.IP(ctx, "link set lo up"); err != nil {
		return nil, err
	}
	if err := h.Sysctl(ctx, h.sysctls...); err != nil {
		return nil, err
	}
	// Only the first namespace may choose an algorithm that it does not list as
	// allowed; elsewhere the machine's default stays, which no scenario depends on.
	_ = h.Sysctl(ctx, "net.ipv4.tcp_congestion_control=cubic")
	return h, nil
}

// Close kills the processes and removes the namespaces and the directory, also
// when the caller's context is done. With Keep it does nothing.
func (t *Topology) Close() error {
	if t.keep {
		return nil
	}
	return t.Destroy()
}

// Destroy does what Close does, whether or not the topology was to be kept.
func (t *Topology) Destroy() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	t.mu.Lock()
	hosts, procs, paths := t.hosts, t.procs, t.paths
	t.hosts, t.procs, t.paths = nil, nil, nil
	t.mu.Unlock()

	var errs []error
	for _, p := range paths {
		errs = append(errs, p.Close())
	}
	for _, p := range procs {
		p.Kill9()
	}
	for _, p := range procs {
		if err := p.Wait(ctx); errors.Is(err, context.DeadlineExceeded) {
			errs = append(errs, err)
		}
	}
	for _, h := range hosts {
		errs = append(errs, removeNamespace(ctx, h.Netns))
	}
	return errors.Join(append(errs, os.RemoveAll(t.dir))...)
}
