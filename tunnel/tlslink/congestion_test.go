package tlslink

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// auto is what this kernel gives to the user who runs the test where nothing is configured.
func auto(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, BestCongestion) == nil {
		return BestCongestion
	}
	return DefaultCongestion()
}

// otherCongestion is another congestion control than one, of those that this kernel gives to anybody; without any it is that one.
func otherCongestion(t *testing.T, than string) string {
	t.Helper()
	all, err := os.ReadFile("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(all)) {
		if name != than {
			return name
		}
	}
	return than
}

// Both ends' connections, the dialed one and the accepted one, have what their own end says.
func TestCongestionOfBothEnds(t *testing.T) {
	a, b := secretPair(t)
	a.cfg.Congestion = "reno"
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	waitCongestion(t, b, auto(t))
	waitCongestion(t, a, "reno")
	a.halt(nil)
	b.waitEvents(2)
	if got := b.link.Status().Congestion; got != "" {
		t.Errorf("%q without a connection", got)
	}
	b.link.SetCongestion("reno")
	a.cfg.Congestion = CongestionAuto
	a.start(secretTrust(0), b.addr())
	a.waitEvents(3)
	b.waitEvents(3)
	waitCongestion(t, b, "reno")
	waitCongestion(t, a, auto(t))
}

// waitCongestion waits until the tunnel of an end has a congestion control.
func waitCongestion(t *testing.T, e *end, want string) {
	t.Helper()
	poll(t, func() bool { return want != "" && e.link.Status().Congestion == want }, func() string {
		return e.cfg.Name + ": congestion control " + e.link.Status().Congestion + ", want " + want
	})
}

// A tunnel does not wait for its congestion control, for which the kernel may have to load a module.
func TestTunnelDoesNotWaitForItsCongestionControl(t *testing.T) {
	a, b := secretPair(t)
	a.cfg.Congestion = CongestionAuto
	a.endpoint.best.mu.Lock()
	defer a.endpoint.best.mu.Unlock()
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	exchangePackets(t, a, b)
}

// All lanes have it. Another one is for connections to come, those that replace others too; the
// session and what it has stay.
func TestCongestionOfEachLane(t *testing.T) {
	a, b := secretPair(t)
	first, then := "reno", CongestionAuto
	later := auto(t)
	if later == first { // it is the kernel's own choice, of which any other one will do
		later = otherCongestion(t, first)
		then = later
	}
	a.cfg.Congestion, b.cfg.Congestion = first, first
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	b.waitEvents(1)
	a.waitEvents(1)
	b.dev.mu.Lock()
	b.dev.keep = false
	b.dev.mu.Unlock()
	stop := make(chan struct{})
	defer close(stop)
	for q := range 2 {
		go flood(a, q, stop)
	}
	has := func(e *end, queue, number int, congestion string) bool {
		ln := e.link.routes[queue].Load()
		return ln != nil && ln.number == number && ln.wire.congestion() == congestion
	}
	explain := func() string { return "not what each lane should have" }
	for _, e := range []*end{a, b} {
		poll(t, func() bool { return has(e, 0, 0, first) && has(e, 1, 1, first) }, explain)
	}
	for _, e := range []*end{a, b} {
		e.link.SetCongestion(then)
	}
	a.link.routes[1].Load().lose(errors.New("test"))
	for _, e := range []*end{a, b} {
		poll(t, func() bool { return has(e, 0, 0, first) && has(e, 1, 1, later) }, explain)
	}
	if len(a.seen()) != 1 || len(b.seen()) != 1 {
		t.Errorf("the session ended: %+v %+v", a.seen(), b.seen())
	}
}

// A name that the kernel does not give, or does not give any more, costs no session.
func TestCongestionThatThereIsNot(t *testing.T) {
	err := CheckCongestion("no-such-thing")
	if err == nil || !strings.Contains(err.Error(), "it gives ") || !strings.Contains(err.Error(), "reno") {
		t.Errorf("error %v", err)
	}
	if err := CheckCongestion("reno"); err != nil {
		t.Error(err)
	}
	a, b := secretPair(t)
	a.cfg.Congestion = "no-such-thing"
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	if got := a.link.Status().Congestion; got == "" || got == "no-such-thing" {
		t.Errorf("congestion control %q", got)
	}
}

// A kernel that lacks it is not asked for each connection to load a module, but now and then,
// and as soon as somebody else has loaded it.
func TestBestCongestionIsAskedForNowAndThen(t *testing.T) {
	var b best
	var there []string
	available := func() []string { return there }
	now := time.Now()
	if !b.isWorthATry(now, available) {
		t.Error("not tried at first")
	}
	b.lacks(now)
	if b.isWorthATry(now.Add(retryBest-1), available) || !b.isWorthATry(now.Add(retryBest), available) {
		t.Error("not tried again after a while")
	}
	there = []string{"cubic", BestCongestion}
	if !b.isWorthATry(now.Add(1), available) {
		t.Error("not tried though it is there")
	}
}

// What is no TCP socket has none.
func TestCongestionOfNoSocket(t *testing.T) {
	c, _ := net.Pipe()
	w := newWire(c)
	defer w.Close()
	if err := w.setCongestion("reno"); err != nil || w.congestion() != "" {
		t.Errorf("%v, %q", err, w.congestion())
	}
}

// Status says why a connection does not have the best, of a kernel that lacks it also while that is not asked for it again, and no longer
// when it was chosen otherwise.
func TestStatusSaysWhyCongestionIsNotTheBest(t *testing.T) {
	for name, c := range map[string]struct {
		err  error // of the kernel
		want error
	}{
		"lacks it":      {unix.ENOENT, fs.ErrNotExist},
		"restricts it":  {unix.EPERM, errRestrictedCongestion},
		"gives it":      {nil, nil},
		"is out of fds": {unix.EMFILE, unix.EMFILE},
	} {
		t.Run(name, func(t *testing.T) {
			if c.err == nil && CheckCongestion(BestCongestion) != nil {
				c.err, c.want = unix.ENOENT, fs.ErrNotExist // this kernel does
			}
			a, b := secretPair(t)
			a.endpoint.tryCongestion = func(string) error { return c.err }
			b.start(secretTrust(0))
			a.start(secretTrust(0), b.addr())
			a.waitEvents(1)
			w := a.link.routes[0].Load().wire
			poll(t, func() bool { return w.lesser.Load() != nil }, func() string { return "nothing was noted" })
			if err := a.link.Status().CongestionErr; !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			a.link.SetCongestion("reno")
			if err := a.link.Status().CongestionErr; err != nil {
				t.Errorf("another was chosen: %v", err)
			}
		})
	}
}
