package speaker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"warren/bgp"
	"warren/bgp/sockets"
	"warren/internal/socket"
	"warren/internal/speaker/child"
)

// testPort is where the speakers of these tests listen, on loopback addresses of their own.
const testPort = 20179

// TestMain is the speaker's process where it was started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[0] == "warren" {
		switch os.Args[1] {
		case "speaker":
			if err := child.Main(); err != nil {
				fmt.Fprintln(os.Stderr, "warren:", err)
				os.Exit(1)
			}
			os.Exit(0)
		case "panic":
			panic("for the test")
		case "quiet":
			time.Sleep(time.Hour)
		case "lasting": // is left behind by one that forks
			time.Sleep(10 * time.Minute)
			os.Exit(0)
		case "forks":
			fork(os.Args[2] == "away")
			panic("for the test")
		case "long": // what it says is longer than may be
			_, _ = os.NewFile(3, "messages").Write([]byte{0xff, 0xff, 0xff, 0xff, 16})
			time.Sleep(time.Hour)
		case "nonsense": // it asks for nothing that there is
			_, _ = os.NewFile(4, "connections").Write([]byte("{"))
			time.Sleep(time.Hour)
		}
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// fork starts a process that has this one's descriptors 2 to 4, in a process group of its own or in this one's, and
// says which.
func fork(away bool) {
	p, err := os.StartProcess("/proc/self/exe", []string{"warren", "lasting"}, &os.ProcAttr{
		Files: []*os.File{nil, nil, os.Stderr, os.NewFile(3, "messages"), os.NewFile(4, "connections")},
		Sys:   &syscall.SysProcAttr{Setsid: away},
	})
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, "left behind:", p.Pid)
}

// safeBuffer is a log that is written and read at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A speakerUnderTest keeps a copy of the routes, as the daemon does.
type speakerUnderTest struct {
	*Speaker
	log    safeBuffer
	taking sync.Mutex // what was taken first is applied first
	mu     sync.Mutex
	routes view
	gone   []netip.Prefix // that were told to be there no longer
	events []bgp.Event
	stop   func()
}

func startSpeaker(t *testing.T, asn uint32, id string, edit func(*Config)) *speakerUnderTest {
	t.Helper()
	u := &speakerUnderTest{routes: view{}}
	cfg := Config{
		ASN: asn, RouterID: netip.MustParseAddr(id), RestartTime: time.Minute, sockets: sockets.On(testPort),
		Logger: slog.New(slog.NewTextHandler(io.MultiWriter(&u.log, testWriter{t, id}), &slog.HandlerOptions{Level: slog.LevelDebug})),
		OnEvent: func(e bgp.Event) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.events = append(u.events, e)
		},
	}
	if edit != nil {
		edit(&cfg)
	}
	u.Speaker = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-u.Events():
				u.takeChanges()
			case <-ctx.Done():
				return
			}
		}
	}()
	ran := make(chan error, 1)
	go func() { ran <- u.Run(ctx) }()
	u.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(u.stop)
	return u
}

func (u *speakerUnderTest) takeChanges() {
	u.taking.Lock()
	defer u.taking.Unlock()
	changes, _ := u.TakeChanges(math.MaxInt)
	u.mu.Lock()
	defer u.mu.Unlock()
	for p, r := range changes {
		if r.Best() == "" {
			delete(u.routes, p)
			u.gone = append(u.gone, p)
		} else {
			u.routes[p] = r.Best()
		}
	}
}

// testWriter writes to the test's log, until the test is over.
type testWriter struct {
	t    *testing.T
	name string
}

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s: %s", w.name, bytes.TrimSpace(b))
	}
	return len(b), nil
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

func (u *speakerUnderTest) has(p, name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.routes[prefix(p)] == name
}

func (u *speakerUnderTest) wantPair(name, local, peer string, asn uint32, generation uint64, announce ...string) {
	w := bgp.Wanted{Neighbors: []bgp.Neighbor{{
		Name: name, LocalAddr: netip.MustParseAddr(local), PeerAddr: netip.MustParseAddr(peer), ASN: asn, Generation: generation,
		Import: bgp.Policy{Any: true}, Export: bgp.Policy{Own: true}, MaxPrefixes: 100,
	}}}
	for _, a := range announce {
		w.Announced = append(w.Announced, prefix(a))
	}
	u.Want(w)
}

// Two speakers in processes of their own have a session by sockets that this one opens for them. One of
// the two processes is killed: its routes stay, its session comes back, and what the peer announces no
// longer goes.
func TestProcessIsKilled(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1", nil), startSpeaker(t, 64513, "10.0.0.2", nil)
	a.wantPair("b", "127.9.1.1", "127.9.1.2", 64513, 1, "10.1.0.0/16")
	b.wantPair("a", "127.9.1.2", "127.9.1.1", 64512, 1, "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")
	for _, s := range []*speakerUnderTest{a, b} {
		if err := s.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "routes both ways", func() bool {
		return b.has("10.1.0.0/16", "a") && a.has("10.2.0.0/16", "b") && a.has("10.3.0.0/16", "b") && a.has("10.4.0.0/16", "b")
	})
	first := a.Status()
	if first.PID == 0 || first.Restarts != 0 || first.LastError != "" {
		t.Errorf("the status is %+v", first)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.wantPair("a", "127.9.1.2", "127.9.1.1", 64512, 1, "10.2.0.0/16", "10.3.0.0/16")
	eventually(t, "another process", func() bool {
		st := a.Status()
		return st.Restarts == 1 && st.PID != 0 && st.PID != first.PID && strings.Contains(st.LastError, "killed")
	})
	eventually(t, "the session is back", func() bool {
		st := a.Neighbors()
		return len(st) == 1 && st[0].State == "established" && st[0].Received == 2 && st[0].ASN == 64513
	})
	eventually(t, "what is not announced any more goes", func() bool { return !a.has("10.4.0.0/16", "b") })
	a.mu.Lock()
	if len(a.gone) != 1 || !a.hasLocked("10.2.0.0/16") || !a.hasLocked("10.3.0.0/16") {
		t.Errorf("gone are %v, routes are %v", a.gone, a.routes)
	}
	kinds := make([]bgp.EventKind, 0, len(a.events))
	for _, e := range a.events {
		kinds = append(kinds, e.Kind)
		if e.Neighbor != "b" || e.Kind == bgp.SessionDown && (!strings.Contains(e.Cause, "killed") || e.Lasted <= 0) {
			t.Errorf("event %+v", e)
		}
	}
	if fmt.Sprint(kinds) != "[session_up session_down session_up]" {
		t.Errorf("events are %v", kinds)
	}
	a.mu.Unlock()
	if !strings.Contains(a.log.String(), `msg="BGP session established" peer=b address=127.9.1.2 asn=64513 router_id=10.0.0.2`) {
		t.Error("the process's log is not in this one's as it was")
	}

	// Told to stop, the process says goodbye, and is gone.
	pid := a.Status().PID
	a.stop()
	eventually(t, "b sees the Cease", func() bool { return strings.Contains(b.log.String(), "shut down there") })
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the process is still there")
	}
}

func (u *speakerUnderTest) hasLocked(p string) bool { return u.routes[prefix(p)] != "" }

// A change of session that the process is never told of does not lose routes: two Wants one after
// another may be one to the process.
func TestSessionChangesUnseen(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1", nil), startSpeaker(t, 64513, "10.0.0.2", nil)
	a.wantPair("b", "127.9.2.1", "127.9.2.2", 64513, 1)
	b.wantPair("a", "127.9.2.2", "127.9.2.1", 64512, 1, "10.2.0.0/16")
	eventually(t, "the route", func() bool { return a.has("10.2.0.0/16", "b") })
	for range 20 {
		a.wantPair("b", "127.9.2.1", "127.9.2.2", 64513, 2)
		a.takeChanges()
		if a.has("10.2.0.0/16", "b") {
			t.Fatal("the route of another session stays")
		}
		a.wantPair("b", "127.9.2.1", "127.9.2.2", 64513, 1)
		eventually(t, "the route again", func() bool { return a.has("10.2.0.0/16", "b") })
	}
}

// Why the process has ended is told: what it panicked with, that it cannot be had at all, and for what it was killed.
func TestWhyTheProcessEnds(t *testing.T) {
	for arg, want := range map[string]string{
		"panic": "panic: for the test", "nothing": "it has ended with status",
		"long": "it says what cannot be: wire: a message of 4294967295 bytes", "nonsense": "it asks for what cannot be",
	} {
		u := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.command = []string{"warren", arg, "-test.run=^$"} })
		eventually(t, want, func() bool { st := u.Status(); return st.Restarts >= 2 && strings.Contains(st.LastError, want) })
		log := u.log.String()
		if arg == "panic" && strings.Count(log, `level=ERROR msg="speaker: goroutine 1 `) != 1 {
			t.Error("where it panicked is not in the log once")
		}
		if strings.Count(log, "level=ERROR msg=\"the speaker has ended") != 1 {
			t.Error("the same reason is told more than once")
		}
		u.stop()
	}
}

// A process that has left others behind, which have its descriptors, does not hold up the next one. Those of its
// process group are ended with it.
func TestProcessForks(t *testing.T) {
	for _, where := range []string{"here", "away"} {
		u := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.command = []string{"warren", "forks", where} })
		left := func() (pids []int) {
			for _, m := range regexp.MustCompile(`left behind: (\d+)`).FindAllStringSubmatch(u.log.String(), -1) {
				pid, _ := strconv.Atoi(m[1])
				pids = append(pids, pid)
			}
			return pids
		}
		t.Cleanup(func() {
			for _, pid := range left() {
				if lasts(pid) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		})
		eventually(t, "the next process", func() bool { return u.Status().Restarts >= 2 })
		if why := u.Status().LastError; why != "panic: for the test" {
			t.Errorf("%s: it has ended: %s", where, why)
		}
		u.stop()
		if where == "here" {
			eventually(t, "the end of what was left behind", func() bool { return !slices.ContainsFunc(left(), lasts) })
		}
	}
}

// lasts reports whether a process is there that was left behind, and not only waited for by its parent.
func lasts(pid int) bool {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // of one that has ended it is empty
	return bytes.HasPrefix(name, []byte("warren\x00lasting"))
}

// A process that works answers when it is asked whether it does. One that hangs is ended, and another one is started.
func TestProcessHangs(t *testing.T) {
	u := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.pingInterval = 500 * time.Millisecond })
	answers := func(of int) bool {
		u.Speaker.mu.Lock()
		defer u.Speaker.mu.Unlock()
		p := u.process
		return p != nil && p.pid != of && p.ponged.Load() > 2
	}
	eventually(t, "answers", func() bool { return answers(0) })
	first := u.Status().PID
	if first == 0 {
		t.Fatal("the process that has answered is gone")
	}
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is ended", func() bool { return strings.Contains(u.Status().LastError, "not answered") })
	eventually(t, "answers of another one", func() bool { return answers(first) })
}

// A process that takes more memory than it may is ended, and why is told. How much it may take
// changes while it works.
func TestTooMuchMemory(t *testing.T) {
	u := startSpeaker(t, 64512, "10.0.0.1", nil)
	u.Want(bgp.Wanted{Announced: []netip.Prefix{prefix("10.1.0.0/16")}})
	if err := u.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := u.Status(); st.Restarts > 0 {
		t.Errorf("the status is %+v", st)
	}
	u.SetLimits(1<<20, time.Minute)
	eventually(t, "the process is ended", func() bool { return strings.Contains(u.Status().LastError, "memory_max") })
}

// A process that does not do anything does not hold up this one.
func TestQuietProcess(t *testing.T) {
	u := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.command = []string{"warren", "quiet"} })
	eventually(t, "the process", func() bool { return u.Status().PID != 0 })
	for i := range 1000 {
		u.wantPair("b", "127.9.3.1", "127.9.3.2", 64513, uint64(i), "10.1.0.0/16")
	}
	if st := u.Neighbors(); len(st) != 1 || st[0].State != "idle" {
		t.Errorf("the neighbors are %+v", st)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := u.Settle(ctx); err == nil {
		t.Error("what nobody has done is settled")
	}
}

// The process has no rights: another user, no capabilities, no new privileges. (The test's binary is in a
// directory that only its owner may enter, as `go test` makes it.)
func TestProcessIsConfined(t *testing.T) {
	stray := strayDescriptor(t)
	u := startSpeaker(t, 64512, "10.0.0.1", nil)
	u.Want(bgp.Wanted{Announced: []netip.Prefix{prefix("10.1.0.0/16")}})
	if err := u.Settle(t.Context()); err != nil { // it is beyond its beginning
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", u.Status().PID))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.Join(strings.Fields(value), " ")
	}
	uid, gid := unprivileged()
	want := map[string]string{"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapInh": "0000000000000000", "NoNewPrivs": "1"}
	if os.Geteuid() == 0 && !strings.Contains(u.log.String(), "become another user") { // which a user namespace may forbid
		want["Uid"] = strings.TrimSpace(strings.Repeat(fmt.Sprint(uid, " "), 4))
		want["Gid"] = strings.TrimSpace(strings.Repeat(fmt.Sprint(gid, " "), 4))
		want["Groups"] = ""
	}
	for key, value := range want {
		if fields[key] != value {
			t.Errorf("%s is %q, want %q", key, fields[key], value)
		}
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", u.Status().PID))
	if err != nil || len(links) < 5 {
		t.Fatal(links, err)
	}
	for _, link := range links {
		if to, _ := os.Readlink(link); to == stray {
			t.Errorf("%s is %s, which the process was not given", link, to)
		}
	}
}

// strayDescriptor opens a descriptor that programs inherit that are started from here, and returns
// what it is.
func strayDescriptor(t *testing.T) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(w.Fd())) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
		syscall.Close(fd)
	})
	is, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// The gobgp command is answered by one process after the other on the same listener.
func TestInspectionSurvives(t *testing.T) {
	u := startSpeaker(t, 64512, "10.0.0.1", nil)
	path := filepath.Join(t.TempDir(), "gobgp.sock")
	l, err := socket.ListenUnix(t.Context(), path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- u.ServeInspection(ctx, l) }()
	answers := func() bool {
		c, err := net.Dial("unix", path)
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // and empty SETTINGS
		b := make([]byte, 9)
		_, err = io.ReadFull(c, b)
		return err == nil && b[3] == 4 // the server's SETTINGS
	}
	eventually(t, "an answer", answers)
	if err := syscall.Kill(u.Status().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer of the next process", func() bool { return u.Status().Restarts == 1 && answers() })
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	eventually(t, "nobody listens", func() bool { return !answers() })
}
