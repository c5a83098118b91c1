//go:build privileged

package topo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if err := Reexec(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// newTopology makes a topology that ends with the test, and a context that bounds it.
func newTopology(t *testing.T) (context.Context, *Topology) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	tp, err := New(ctx, "topotest")
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, tp)
	return ctx, tp
}

// closeAfter closes a topology when the test has ended.
func closeAfter(t *testing.T, tp *Topology) {
	t.Cleanup(func() {
		if err := tp.Close(); err != nil {
			t.Error(err)
		}
	})
}

// must fails the test on an error; use as must(t)(f()).
func must(t *testing.T) func(error) {
	return func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func ping(ctx context.Context, h *Host, addr string) error {
	_, err := h.Run(ctx, "ping", "-n", "-c", "1", "-W", "1", addr)
	return err
}

func mustReach(ctx context.Context, t *testing.T, h *Host, addr string) {
	t.Helper()
	if _, err := Eventually(ctx, 50*time.Millisecond, time.Minute, func() error {
		return ping(ctx, h, addr)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestTwoSitesForwardOverTheUnderlayOnly(t *testing.T) {
	ctx, tp := newTopology(t)
	s, err := AddTwoSites(ctx, tp)
	must(t)(err)
	for _, addr := range []string{UnderlayB4, UnderlayB6} {
		mustReach(ctx, t, s.SiteA, addr)
	}
	for _, addr := range []string{"10.1.0.1", "2001:db8:1::1", UnderlayA4, UnderlayA6} {
		mustReach(ctx, t, s.LanA, addr)
	}
	for _, addr := range []string{LANB4, LANB6} {
		if ping(ctx, s.LanA, addr) == nil {
			t.Errorf("%s can be reached without a tunnel", addr)
		}
	}
}

func TestLinksBreakAndHeal(t *testing.T) {
	ctx, tp := newTopology(t)
	s, err := AddTwoSites(ctx, tp)
	must(t)(err)
	carrier := func() string {
		out, err := s.SiteA.Run(ctx, "ip", "-br", "link", "show", "wan0")
		must(t)(err)
		return out
	}
	for _, c := range []struct {
		name        string
		breakIt     func(context.Context) error
		keepCarrier bool
	}{
		{"cut", s.WanA.Cut, false},
		{"blackhole", s.WanA.Blackhole, true},
		{"site end down", s.WanA.A.Down, false},
	} {
		mustReach(ctx, t, s.SiteA, UnderlayB4)
		must(t)(c.breakIt(ctx))
		if ping(ctx, s.SiteA, UnderlayB4) == nil {
			t.Errorf("%s: packets still pass", c.name)
		}
		if got := strings.Contains(carrier(), ",UP,LOWER_UP"); got != c.keepCarrier {
			t.Errorf("%s: carrier %v, want %v", c.name, got, c.keepCarrier)
		}
		must(t)(s.WanA.Heal(ctx))
		mustReach(ctx, t, s.SiteA, UnderlayB4)
		mustReach(ctx, t, s.SiteA, UnderlayB6)
	}
}

func TestMasqueradeHidesTheSource(t *testing.T) {
	ctx, tp := newTopology(t)
	s, err := AddTwoSites(ctx, tp)
	must(t)(err)
	// The underlay has no route back to the LAN, so an answer proves the translation.
	if ping(ctx, s.LanA, UnderlayB4) == nil {
		t.Fatal("the LAN's own address is routed in the underlay")
	}
	must(t)(s.SiteA.Masquerade(ctx, "wan0"))
	mustReach(ctx, t, s.LanA, UnderlayB4)
}

func TestProcessLife(t *testing.T) {
	ctx, tp := newTopology(t)
	h, err := tp.Host(ctx, "h")
	must(t)(err)

	p, err := h.Start("sh", "-c", "echo hello; exec sleep 60")
	must(t)(err)
	_, err = Eventually(ctx, 10*time.Millisecond, time.Minute, func() error {
		if !strings.Contains(p.Log(), "hello") {
			return fmt.Errorf("log is %q", p.Log())
		}
		return nil
	})
	must(t)(err)
	must(t)(p.Stop(ctx))
	if p.Running() {
		t.Error("runs after Stop")
	}

	p, err = h.Start("sleep", "60")
	must(t)(err)
	p.Kill9()
	var exit *exec.ExitError
	if err := p.Wait(ctx); !errors.As(err, &exit) {
		t.Errorf("Wait after Kill9: %v, want an exit error", err)
	}

	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := h.Run(short, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run past its context: %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	ctx, tp := newTopology(t)
	h, err := tp.Host(ctx, "h")
	must(t)(err)
	// A child that its parent has forgotten must go too.
	p, err := h.Start("sh", "-c", "sleep 61 & echo $!; wait")
	must(t)(err)
	must(t)(tp.Close())
	if p.Running() {
		t.Error("process outlives its topology")
	}
	names, err := namespaces(ctx)
	must(t)(err)
	for _, n := range names {
		if strings.HasPrefix(n, tp.name) {
			t.Errorf("namespace %s is left", n)
		}
	}
	if _, err := os.Stat(tp.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory is left: %v", err)
	}
}

func TestNewRemovesWhatTheDeadLeft(t *testing.T) {
	ctx, tp := newTopology(t)
	dead := exec.Command("true")
	must(t)(dead.Run())
	name := fmt.Sprintf("topotest-%d.1", dead.Process.Pid)
	_, err := command(ctx, "", "ip", "netns", "add", name+"-h")
	must(t)(err)
	dir := filepath.Join(os.TempDir(), name)
	must(t)(os.Mkdir(dir, 0o700))

	live, err := tp.Host(ctx, "live")
	must(t)(err)
	other, err := New(ctx, "topotest")
	must(t)(err)
	closeAfter(t, other)

	names, err := namespaces(ctx)
	must(t)(err)
	all := strings.Join(names, " ") + " "
	if strings.Contains(all, name+"-h ") {
		t.Error("a dead program's namespace is left")
	}
	if !strings.Contains(all, live.Netns+" ") {
		t.Error("a living program's namespace is gone")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dead program's directory is left: %v", err)
	}
}

func TestKeptTopologyIsReplacedByTheNextOfItsName(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	first, err := New(ctx, "topokeep", FixedName(), Keep())
	must(t)(err)
	h, err := first.Host(ctx, "h")
	must(t)(err)
	p, err := h.Start("sleep", "60")
	must(t)(err)
	must(t)(first.Close())
	if !p.Running() {
		t.Fatal("Close ended a process that was to be kept")
	}
	const foreign = "topokeep-foreign" // begins with the name, but is somebody's own
	_, err = command(ctx, "", "ip", "netns", "add", foreign)
	must(t)(err)
	second, err := New(ctx, "topokeep", FixedName())
	must(t)(err)
	closeAfter(t, second)
	if err := p.Wait(ctx); errors.Is(err, context.DeadlineExceeded) {
		t.Error("New left the process of its predecessor")
	}
	if _, err := second.Host(ctx, "h"); err != nil {
		t.Error(err)
	}
	if _, err := command(ctx, "", "ip", "netns", "delete", foreign); err != nil {
		t.Errorf("a foreign namespace was removed: %v", err)
	}
}

// Interfaces of wireguard-go may have the same name on two hosts, and in two
// runs of the lab at once.
func TestControlSocketsAreTheHosts(t *testing.T) {
	ctx, tp := newTopology(t)
	var hosts []*Host
	for _, name := range []string{"a", "b"} {
		h, err := tp.Host(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Run(ctx, "touch", controlSockets+"/topotest-"+name); err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	for _, h := range hosts {
		out, err := h.Run(ctx, "ls", controlSockets)
		if want := "topotest-" + h.Name + "\n"; err != nil || out != want {
			t.Errorf("host %s sees %q (%v), want %q", h.Name, out, err, want)
		}
	}
	if all, err := filepath.Glob(controlSockets + "/topotest-*"); err != nil || len(all) > 0 {
		t.Errorf("left outside: %q (%v)", all, err)
	}
}

// TestProcessOutlivesAThread ends the thread of the goroutine that has started a process. The signal at a parent's death
// comes at a thread's.
func TestProcessOutlivesAThread(t *testing.T) {
	ctx, tp := newTopology(t)
	h, err := tp.Host(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	var p *Process
	var startErr error
	thread := make(chan int)
	over := make(chan struct{})
	defer close(over)
	start := func() {
		runtime.LockOSThread()            // and the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() { // but for the first one
			thread <- 0
			<-over
			return
		}
		p, startErr = h.Start("sleep", "1000")
		thread <- unix.Gettid()
	}
	go start()
	tid := <-thread
	if tid == 0 {
		go start()
		tid = <-thread
	}
	task := fmt.Sprintf("/proc/self/task/%d", tid)
	if startErr != nil {
		t.Fatal(startErr)
	}
	if _, err := Eventually(ctx, 10*time.Millisecond, time.Minute, func() error {
		if _, err := os.Stat(task); !errors.Is(err, os.ErrNotExist) {
			return errors.New("the thread is there")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := Eventually(ctx, 10*time.Millisecond, 500*time.Millisecond, func() error {
		if alive(p.PID()) {
			return errors.New("it lives")
		}
		return nil
	}); err == nil {
		t.Error("the process has ended with the thread")
	}
}
