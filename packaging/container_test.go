//go:build packages

package packaging

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const containerDir = "container"

// composed is what compose.yaml says. What stands there and not here the tests do not know of, and fail.
type composed struct {
	Name     string
	Router   any `yaml:"x-router"`
	Services map[string]service
	Networks map[string]struct {
		Internal bool
		IPAM     struct {
			Config []struct{ Subnet, Gateway string }
		}
	}
}

type service struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Restart     string
	StopGrace   string `yaml:"stop_grace_period"`
	Hostname    string
	Devices     []string
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	SecurityOpt []string `yaml:"security_opt"`
	ReadOnly    bool     `yaml:"read_only"`
	Tmpfs       []string
	Sysctls     map[string]string
	Volumes     []string
	Networks    map[string]struct {
		Address string `yaml:"ipv4_address"`
	}
}

func compose(t *testing.T) (c composed) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(containerDir, "compose.yaml"))
	if err == nil {
		d := yaml.NewDecoder(bytes.NewReader(data))
		d.KnownFields(true)
		err = d.Decode(&c)
	}
	if err != nil || len(c.Services) != 2 {
		t.Fatalf("compose.yaml: %v, %+v", err, c)
	}
	for name, s := range c.Services {
		file, err := os.Stat(filepath.Join(containerDir, s.Build.Context, s.Build.Dockerfile))
		ours, _ := os.Stat(filepath.Join(containerDir, "Dockerfile"))
		if err != nil || !os.SameFile(file, ours) || s.Image != "warren" {
			t.Errorf("%s is built from another file: %v, %+v", name, err, s)
		}
	}
	return c
}

// runsTwoSites runs compose.yaml's two sites from the image, with the capabilities, devices,
// mounts and sysctls of compose.yaml, in namespaces that systemd-nspawn makes instead of a container's
// runtime. As there, /proc/sys is read-only.
func (i image) runsTwoSites(t *testing.T) {
	c := compose(t)
	// The secret is made by the image, as compose.yaml says.
	secret := filepath.Join(t.TempDir(), "a-b.secret")
	command(t, filepath.Join(i.root("keys"), "usr/bin/warren"), "keygen", "--secret", secret)
	networks(t, c)
	sites := map[string]*container{}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := start(t, i, c, name, secret)
		// Also the first one, whose peer is away.
		s.until(name+" is healthy", func() bool { return s.run(i.Healthcheck.Test[1:]...) == nil })
		if err := s.run("warren", "status", "--check"); err == nil && len(sites) == 0 {
			t.Errorf("all is well for %s, whose peer is away", name)
		}
		sites[name] = s
	}
	for name, s := range sites {
		s.until(name+" has its peer", func() bool { return s.run("warren", "status", "--check") == nil })
		// The bits of linux/capability.h: KILL, SETGID, SETUID, NET_BIND_SERVICE, NET_ADMIN, NET_RAW.
		has := s.processStatus()
		for _, want := range []string{fmt.Sprintf("CapBnd:\t%016x\n", 1<<5|1<<6|1<<7|1<<10|1<<12|1<<13), "NoNewPrivs:\t1\n"} {
			if !strings.Contains(has, want) {
				t.Errorf("%s is to have %s and has\n%s", name, want, has)
			}
		}
		for _, line := range []string{"gobgp neighbor", "warren status", "warren gobgp neighbor"} { // found in the image's PATH
			if err := s.run(strings.Fields(line)...); err != nil {
				t.Errorf("%s in %s: %v", line, name, err)
			}
		}
	}
	// From one LAN to the other. The routes come a moment after the session.
	sites["site-a"].until("a packet goes from one LAN to the other", func() bool {
		return exec.Command("ip", "netns", "exec", netnsOf("site-a"), "ping", "-c", "1", "-W", "5", "-I", c.Services["site-a"].Networks["lan-a"].Address, c.Services["site-b"].Networks["lan-b"].Address).Run() == nil
	})
	if i.StopSignal != "SIGTERM" {
		t.Errorf("a container is stopped by %s", i.StopSignal)
	}
	for name, s := range sites {
		if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-s.ended
		if says := s.says.String(); !strings.Contains(says, "msg=stopping") || strings.Contains(says, "level=ERROR") || strings.Contains(says, "sysctl") {
			t.Errorf("%s says\n%s", name, says)
		}
		if left := command(t, "ip", "-n", netnsOf(name), "route", "show", "table", "all", "proto", "bgp"); left != "" {
			t.Errorf("%s leaves %s", name, left)
		}
	}
}

func netnsOf(site string) string { return fmt.Sprintf("warren-%d-%s", os.Getpid(), site) }

// networks makes a namespace for each site, the sysctls first, a bridge for the network that both are in,
// and an interface of its own for the one that only it is in.
func networks(t *testing.T, c composed) {
	t.Helper()
	bridge := fmt.Sprintf("wtwan%d", os.Getpid()%100000)
	command(t, "ip", "link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { command(t, "ip", "link", "del", bridge) })
	command(t, "ip", "link", "set", bridge, "up")
	for name, s := range c.Services {
		ns := netnsOf(name)
		command(t, "ip", "netns", "add", ns)
		t.Cleanup(func() { command(t, "ip", "netns", "del", ns) })
		for key, value := range s.Sysctls {
			command(t, "ip", "netns", "exec", ns, "sysctl", "-qw", key+"="+value)
		}
		command(t, "ip", "-n", ns, "link", "set", "lo", "up")
		for network, at := range s.Networks {
			subnet := c.Networks[network].IPAM.Config[0].Subnet
			address := at.Address + subnet[strings.Index(subnet, "/"):]
			if network == "wan" {
				outside := fmt.Sprintf("wt%s%d", name[len(name)-1:], os.Getpid()%100000)
				command(t, "ip", "link", "add", outside, "type", "veth", "peer", "name", network, "netns", ns)
				command(t, "ip", "link", "set", outside, "master", bridge, "up")
			} else {
				command(t, "ip", "-n", ns, "link", "add", network, "type", "bridge")
			}
			command(t, "ip", "-n", ns, "addr", "add", address, "dev", network)
			command(t, "ip", "-n", ns, "link", "set", network, "up")
		}
	}
}

// nspawnHas are the capabilities that systemd-nspawn leaves to a container by itself (systemd-nspawn(1)).
const nspawnHas = "CAP_AUDIT_CONTROL CAP_AUDIT_WRITE CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_IPC_OWNER CAP_KILL CAP_LEASE " +
	"CAP_LINUX_IMMUTABLE CAP_MKNOD CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_RAW CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_ADMIN CAP_SYS_BOOT " +
	"CAP_SYS_CHROOT CAP_SYS_NICE CAP_SYS_PTRACE CAP_SYS_RESOURCE CAP_SYS_TTY_CONFIG"

func without(has string, keep []string) []string {
	return slices.DeleteFunc(strings.Fields(has), func(c string) bool { return slices.Contains(keep, c) })
}

// container is one site that runs.
type container struct {
	t       *testing.T
	command *exec.Cmd
	says    bytes.Buffer
	ended   chan struct{}
	env     []string // of the image
}

func start(t *testing.T, i image, c composed, name, secret string) *container {
	t.Helper()
	service, root := c.Services[name], i.root(name)
	var capabilities []string
	for _, n := range service.CapAdd {
		capabilities = append(capabilities, "CAP_"+n)
	}
	args := []string{"--quiet", "--register=no", "--keep-unit", "--directory", root, "--machine", netnsOf(name), "--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--network-namespace-path=/run/netns/" + netnsOf(name), "--drop-capability=" + strings.Join(without(nspawnHas, capabilities), ","), "--capability=" + strings.Join(capabilities, ","), "--console=pipe", "--kill-signal=" + i.StopSignal, "--hostname=" + service.Hostname}
	for _, v := range i.Env {
		args = append(args, "--setenv="+v)
	}
	if slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
		args = append(args, "--no-new-privileges=yes")
	}
	if service.ReadOnly {
		args = append(args, "--read-only")
	}
	if !slices.Equal(service.CapDrop, []string{"ALL"}) {
		t.Errorf("%s drops %q", name, service.CapDrop)
	}
	for _, d := range service.Devices {
		args = append(args, "--bind="+d)
	}
	// systemd-nspawn mounts these itself, as a container's runtime does; a tmpfs at /run is one.
	for _, dir := range []string{"dev", "proc", "run", "sys", "tmp"} {
		makeDirs(t, filepath.Join(root, dir))
	}
	if !slices.Equal(service.Tmpfs, []string{"/run"}) {
		t.Errorf("%s can write to %q", name, service.Tmpfs)
	}
	for _, v := range service.Volumes {
		parts := strings.Split(v, ":")
		from, err := filepath.Abs(filepath.Join(containerDir, parts[0]))
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(from) == filepath.Base(secret) {
			from = secret
		}
		args = append(args, "--bind-ro="+from+":"+parts[1])
		at := filepath.Join(root, parts[1])
		makeDirs(t, filepath.Dir(at))
		if info, err := os.Stat(from); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			makeDirs(t, at)
		} else if err := os.WriteFile(at, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &container{t: t, ended: make(chan struct{}), env: i.Env}
	s.command = exec.Command("/bin/sh", append([]string{"-c", inCgroup, "sh", netnsOf(name), "systemd-nspawn"}, slices.Concat(args, i.Entrypoint, i.Cmd)...)...)
	s.command.Env = append(os.Environ(), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=0") // /proc/sys
	s.command.Stdout, s.command.Stderr = &s.says, &s.says
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.command.Wait(); close(s.ended) }()
	t.Cleanup(func() {
		if pid := onlyChild(s.command.Process.Pid); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = s.command.Process.Kill()
		<-s.ended
		leaveCgroup(netnsOf(name))
		if t.Failed() {
			t.Logf("%s says\n%s", name, s.says.Bytes())
		}
	})
	return s
}

func makeDirs(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// processStatus is what the kernel says of its first process.
func (s *container) processStatus() string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", onlyChild(s.command.Process.Pid)))
	return string(data)
}

// run runs a command of the image in the container.
func (s *container) run(args ...string) error {
	pid := onlyChild(s.command.Process.Pid)
	if pid == 0 {
		return fmt.Errorf("the container has no process")
	}
	cmd := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(pid), "--mount", "--net", "--pid", "--root", "--wd"}, args...)...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (s *container) until(what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		select {
		case <-s.ended:
			s.t.Fatalf("%s: it has ended", what)
		default:
		}
		if time.Now().After(end) {
			s.t.Fatalf("not in %v: %s: %v", patience, what, s.run("warren", "status"))
		}
	}
}

// TestContainerHasTheUnitsRights compares the two ways to run the daemon.
func TestContainerHasTheUnitsRights(t *testing.T) {
	unit, err := os.ReadFile("../configs/warren.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(string(unit))
	if m == nil {
		t.Fatal("the unit has no CapabilityBoundingSet")
	}
	want := strings.Fields(strings.ReplaceAll(m[1], "CAP_", ""))
	slices.Sort(want)
	for name, s := range compose(t).Services {
		got := slices.Sorted(slices.Values(s.CapAdd))
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q, the unit has %q", name, got, want)
		}
		if stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(.*)$`).FindStringSubmatch(string(unit)); stop == nil || s.StopGrace != stop[1]+"s" {
			t.Errorf("a stop of %s may take %s, one of the unit %q", name, s.StopGrace, stop)
		}
	}
}
