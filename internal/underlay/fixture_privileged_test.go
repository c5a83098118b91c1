//go:build privileged

package underlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

// The topology of the privileged tests:
//
//	host (the test's own namespace)            router
//	  u1 10.9.1.1  fd09:1::1  ------ veth ----  w1 10.9.1.2 .3  fd09:1::2 ::3
//	  u2 10.9.2.1  fd09:2::1  ------ veth ----  w2 10.9.2.2     fd09:2::2
//	  tun0, which counts what it is given to carry to the remotes
//
// The transport's remote is an address of the router's loopback.
const (
	remote4  = "198.51.100.1"
	remote6  = "2001:db8:99::1"
	marker   = "192.0.2.253"    // see sent
	patience = 50 * time.Second // less than the minute after which all is looked at without an event
)

type host struct {
	t          *testing.T
	ns, router *netns.NS
	swallowed  atomic.Int64
	markers    atomic.Int64
	own        atomic.Pointer[Guard] // is asked about what comes out of tun0
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, ns: netns.Test(t)}
	router, err := netns.NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = router.Close() })
	h.router = router
	// A new namespace has the filters of the machine that the test runs on.
	const unfiltered = "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.lo.rp_filter=0"
	h.run(unfiltered)
	h.runIn(h.router, unfiltered)
	h.link("u1", "w1")
	h.link("u2", "w2")
	h.openTunnel()
	// A router between here and the remote would ask for neighbours in its own name.
	h.runIn(h.router, "sysctl -qw net.ipv4.conf.all.arp_announce=2")
	for i, dev := range []string{"u1", "u2"} {
		h.ip(fmt.Sprintf("addr add 10.9.%d.1/24 dev %s", i+1, dev))
		h.ip(fmt.Sprintf("-6 addr add fd09:%d::1/64 dev %s nodad", i+1, dev))
		for g := 2; g <= 3; g++ {
			h.ipIn(h.router, fmt.Sprintf("addr add 10.9.%d.%d/24 dev w%d", i+1, g, i+1))
			h.ipIn(h.router, fmt.Sprintf("-6 addr add fd09:%d::%d/64 dev w%d nodad", i+1, g, i+1))
		}
	}
	h.ipIn(h.router, "addr add "+remote4+"/32 dev lo")
	h.ipIn(h.router, "-6 addr add "+remote6+"/128 dev lo nodad")
	h.ip("route add default via 10.9.1.2 metric 100")
	h.ip("-6 route add default via fd09:1::2 metric 100")
	h.eventually("the kernel has added the routes of its own addresses, and changes nothing any more", func() bool {
		out := h.ip("-6 route show table main")
		return strings.Contains(out, "fe80::/64 dev u1") && strings.Contains(out, "fe80::/64 dev u2") && strings.Contains(out, "fe80::/64 dev tun0")
	})
	return h
}

func (h *host) link(name, peer string) {
	h.t.Helper()
	h.ip(fmt.Sprintf("link add %s type veth peer name %s", name, peer))
	h.ip(fmt.Sprintf("link set %s netns /proc/self/fd/3", peer), h.router)
	h.ip("link set " + name + " up")
	h.ipIn(h.router, "link set "+peer+" up")
}

// swallow is what the FIB does when a peer announces everything.
func (h *host) swallow() {
	h.ip("route add default dev tun0 metric 20 proto bgp")
	h.ip("-6 route add default dev tun0 metric 20 proto bgp")
}

// run runs a command in the test's namespace; n, if given, is its descriptor 3.
func (h *host) run(command string, n ...*netns.NS) string {
	h.t.Helper()
	out, err := runCommand(command, n...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *host) ip(args string, n ...*netns.NS) string {
	h.t.Helper()
	return h.run("ip "+args, n...)
}

func (h *host) ipIn(n *netns.NS, args string) {
	h.t.Helper()
	h.runIn(n, "ip "+args)
}

func (h *host) runIn(n *netns.NS, command string) {
	h.t.Helper()
	if err := n.Do(func() error { _, err := runCommand(command); return err }); err != nil {
		h.t.Fatal(err)
	}
}

func runCommand(command string, n ...*netns.NS) (string, error) {
	f := strings.Fields(command)
	cmd := exec.Command(f[0], f[1:]...)
	for _, n := range n {
		cmd.ExtraFiles = append(cmd.ExtraFiles, fileOf(n))
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", command, err, errs.String())
	}
	return out.String(), nil
}

// guard starts a guard that knows tun0, and stops it with the test or with the
// returned function.
func (h *host) guard(logs *bytes.Buffer, set ...func(*Guard)) (g *Guard, stop func()) {
	h.t.Helper()
	if logs == nil {
		logs = new(bytes.Buffer)
	}
	w := &lockedBuffer{b: logs}
	h.t.Cleanup(func() {
		if h.t.Failed() {
			h.t.Logf("the guard said:\n%s", w)
		}
	})
	g, err := New(Config{FIBProtocol: owned, Logger: slog.New(slog.NewTextHandler(w, nil))})
	if err != nil {
		h.t.Fatal(err)
	}
	g.SetTunnels([]string{"tun0"})
	for _, f := range set {
		f(g)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.ns.Do(func() error { return g.Run(ctx) }) }()
	select {
	case <-g.Ready():
	case err := <-ended:
		h.t.Fatalf("Run: %v", err)
	case <-time.After(patience):
		h.t.Fatal("the guard is not ready")
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				h.t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			h.t.Error("Run does not end")
		}
	}
	h.t.Cleanup(stop)
	return g, stop
}

// openTunnel makes tun0 and counts what the kernel sends into it to the remotes.
func (h *host) openTunnel() {
	h.t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := unix.NewIfreq("tun0")
	if err != nil {
		h.t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		h.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "tun0") // after TUNSETIFF: only then can it be polled
	h.t.Cleanup(func() { _ = f.Close() })
	go func() {
		_ = h.ns.Do(func() error { h.count(f); return nil })
	}()
	h.ip("link set tun0 up")
}

func (h *host) count(f *os.File) {
	want4, want6, mark := net.ParseIP(remote4).To4(), net.ParseIP(remote6), net.ParseIP(marker).To4()
	buf := make([]byte, 1<<16)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return
		}
		if g := h.own.Load(); g != nil {
			g.Own("tun0", buf[:n])
		}
		switch p := buf[:n]; {
		case n >= 20 && p[0]>>4 == 4 && bytes.Equal(p[16:20], want4),
			n >= 40 && p[0]>>4 == 6 && bytes.Equal(p[24:40], want6):
			h.swallowed.Add(1)
		case n >= 20 && p[0]>>4 == 4 && bytes.Equal(p[16:20], mark):
			h.markers.Add(1)
		}
	}
}

// sent is how many packets to the remotes have gone into the tunnel. It sends another one behind them, and waits until that is
// read: then all are that had gone before.
func (h *host) sent() int64 {
	h.t.Helper()
	before := h.markers.Load()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), "tun0") }), err)
	}}
	c, err := d.Dial("udp4", marker+":9")
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("marker")); err != nil {
		h.t.Fatal(err)
	}
	for end := time.Now().Add(patience); h.markers.Load() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatal("what goes into the tunnel is not read")
		}
	}
	return h.swallowed.Load()
}

// swallows expects no unmarked connection to come about, and its packets in the tunnel.
func (h *host) swallows(addr string) {
	h.t.Helper()
	before := h.sent()
	// Again and again, as a busy machine may begin one when its time is over.
	h.eventually("an unmarked connection's packets are in the tunnel", func() bool {
		if c, err := dial(nil, addr, 300*time.Millisecond); err == nil {
			c.Close()
			h.t.Error("an unmarked connection came about: the test proves nothing")
		}
		return h.sent() > before
	})
}

// echoAll echoes TCP for all that connect, until the test ends.
func echoAll(t *testing.T, l net.Listener) {
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
}

// serve echoes TCP on the router until the test ends.
func (h *host) serve(addr string) string {
	h.t.Helper()
	var l net.Listener
	err := h.router.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	echoAll(h.t, l)
	return l.Addr().String()
}

func echo(c net.Conn) {
	defer func() { _ = c.Close() }()
	buf := make([]byte, 64)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

type control = func(network, address string, c syscall.RawConn) error

// dial connects in the test's namespace, as the calling goroutine is the
// test's and net does not leave it for a literal address.
func dial(ctl control, addr string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, Control: ctl}
	return d.Dial("tcp", addr)
}

// roundTrip proves that a connection carries bytes both ways.
func roundTrip(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("warren")); err != nil {
		return err
	}
	buf := make([]byte, 6)
	_, err := c.Read(buf)
	return err
}

// eventually polls until ok or the test's patience ends.
func (h *host) eventually(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("not within %v: %s\nguard's table:\n%s%s\nrules:\n%s", patience, what,
				h.routes("-4"), h.routes("-6"), h.ip("rule"))
		}
	}
}

// routes shows the guard's table of a family.
func (h *host) routes(family string) string {
	out, err := runCommand(fmt.Sprintf("ip %s route show table %d", family, Table))
	if err != nil {
		return "" // no such table
	}
	return out
}

// rules shows all rules of a family, the transports' as if they were in the first half.
func (h *host) rules(flag string) string {
	h.t.Helper()
	out := regexp.MustCompile(`82790\d\d:.*goto 8289000.*\n`).ReplaceAllString(h.ip(flag+" rule"), "")
	return regexp.MustCompile(`82890\d\d`).ReplaceAllStringFunc(out, func(s string) string {
		n, _ := strconv.Atoi(s)
		return strconv.Itoa(n - second + first)
	})
}

// way asks the kernel where a marked packet would go.
func (h *host) way(addr string) string {
	out, err := runCommand(fmt.Sprintf("ip route get %s mark %d", addr, Mark))
	if err != nil {
		return err.Error()
	}
	return out
}

func fileOf(n *netns.NS) *os.File {
	fd, err := unix.FcntlInt(uintptr(n.Fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	return os.NewFile(uintptr(fd), "netns")
}

type lockedBuffer struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (h *host) index(name string) uint32 {
	h.t.Helper()
	i, err := indexOf(name)
	if err != nil {
		h.t.Fatal(err)
	}
	return i
}

func indexOf(name string) (uint32, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

// unsupported recognises a kernel that was built without an option.
func unsupported(err error) bool {
	return strings.Contains(err.Error(), "not supported") || strings.Contains(err.Error(), "CONFIG_")
}
