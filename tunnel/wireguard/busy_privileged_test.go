//go:build privileged

package wireguard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
	"warren/internal/skip"
	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// stalls measures for how long the machine does not let this process run, or a thread of it: of several processors one alone may be
// taken away, by another process or by the machine below a virtual one, which who runs on the others does not notice.
type stalls struct {
	longest atomic.Int64 // ns
	stop    func()
}

func watchStalls(t *testing.T) *stalls {
	t.Helper()
	s := &stalls{}
	var processors unix.CPUSet
	if err := unix.SchedGetaffinity(0, &processors); err != nil {
		t.Fatal(err)
	}
	var watchers []func() time.Duration
	for p := 0; len(watchers) < processors.Count(); p++ {
		if processors.IsSet(p) {
			watchers = append(watchers, startWatcher(t, p))
		}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	s.stop = sync.OnceFunc(func() {
		close(done)
		<-ended
		for _, longest := range watchers {
			s.longest.Store(max(s.longest.Load(), int64(longest())))
		}
	})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now := time.Now()
			if d := int64(now.Sub(last)); d > s.longest.Load() {
				s.longest.Store(d)
			}
			last = now
		}
	}()
	return s
}

// watchVariable has the test binary be the watcher of a processor.
const watchVariable = "WARREN_TEST_PROCESSOR"

func TestMain(m *testing.M) {
	if p, err := strconv.Atoi(os.Getenv(watchVariable)); err == nil {
		watchProcessor(p)
	}
	os.Exit(m.Run())
}

// startWatcher starts a process that watches a processor until the function is called, which returns for how long the processor was
// not there for it.
func startWatcher(t *testing.T, processor int) (longest func() time.Duration) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	// The race detector sleeps a second at the end of a process by default.
	cmd.Env = append(os.Environ(), fmt.Sprint(watchVariable, "=", processor), "GORACE=atexit_sleep_ms=0")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(output)
	if _, err := said.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() time.Duration {
		input.Close()
		var ns int64
		_, err := fmt.Fscan(said, &ns)
		if err := errors.Join(err, cmd.Wait()); err != nil {
			t.Error(err)
		}
		return time.Duration(ns)
	}
}

// watchProcessor says for how long a processor was not there, when its input is closed.
func watchProcessor(p int) {
	runtime.LockOSThread()
	var only unix.CPUSet
	only.Set(p)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	began := time.Now()
	var last, longest atomic.Int64
	watched := func() int64 { return max(longest.Load(), int64(time.Since(began))-last.Load()) }
	fmt.Println("watching")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		fmt.Println(watched())
		os.Exit(0)
	}()
	for {
		sleep := unix.NsecToTimespec(int64(time.Millisecond))
		_ = unix.Nanosleep(&sleep, nil) // until a signal, too
		longest.Store(watched())
		last.Store(int64(time.Since(began)))
	}
}

// first has the kernel prefer this process to others until the test ends, where it may. Threads
// that are made meanwhile inherit that.
func first(t *testing.T) {
	t.Helper()
	set := func(nice int) error {
		tasks, err := os.ReadDir("/proc/self/task")
		for _, task := range tasks {
			id, _ := strconv.Atoi(task.Name())
			err = errors.Join(err, unix.Setpriority(unix.PRIO_PROCESS, id, nice))
		}
		return err
	}
	before, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 - nice
	if err == nil {
		err = set(-20)
	}
	if err != nil {
		t.Logf("other processes may hold this one up: %v", err)
	}
	t.Cleanup(func() { _ = set(20 - before) }) // fails where the first did
}

// With the shortest times a tunnel stays up while both ends and the kernels between them are as
// busy as they can be, and goes down when the peer says nothing more.
//
// Both ends are in this process. Where the machine holds that up for so long that a keepalive, sent
// late and noticed late, may come too late, the peer is silent indeed, and the round does not
// count.
func TestShortestTimesUnderLoad(t *testing.T) {
	netns.RequireRoot(t)
	first(t)
	const late = (MinDeadAfter - MinKeepalive) / 2
	for range 60 {
		if testShortestTimes(t, late) || t.Failed() {
			return
		}
	}
	skip.OutsideCI(t, "this machine holds the test up for more than %v, again and again: give it more processor time", late)
}

// testShortestTimes reports whether the round counts.
func testShortestTimes(t *testing.T, late time.Duration) (counts bool) {
	s := watchStalls(t)
	defer s.stop()
	var downs atomic.Int32
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	c := LinkConfig{Keepalive: MinKeepalive, DeadAfter: MinDeadAfter, Events: func(ev tunnel.Event) {
		if !ev.Up {
			downs.Add(1)
		}
	}}
	c.Name, c.PublicKey = "a", keyA.Public()
	b := startRouterWith(t, 2, 1, keyB, c)
	c.Name, c.PublicKey, c.Remotes = "b", keyB.Public(), []string{b.addr()}
	a := startRouterWith(t, 1, 1, keyA, c)
	defer func() { a.stop(); b.stop() }()
	waitFor(t, func() bool { return isUp(a.l.Status()) && isUp(b.l.Status()) },
		func() any { return []tunnel.Status{a.l.Status(), b.l.Status()} })
	if downs.Load() > 0 {
		return false
	}

	const packets = 20_000
	var flood sync.WaitGroup
	for _, way := range []struct {
		from *router
		to   string
	}{{a, "10.66.0.2:9"}, {b, "10.66.0.1:9"}} {
		var conn net.Conn
		if err := way.from.ns.Do(func() (err error) {
			conn, err = net.Dial("udp", way.to)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		flood.Go(func() {
			p := make([]byte, 1300)
			for range packets {
				conn.Write(p) // ICMP errors come back
			}
		})
	}
	flood.Wait()
	s.stop()
	held := time.Duration(s.longest.Load())
	if n := downs.Load(); n > 0 {
		if held < late {
			t.Errorf("down %d times though the process was held up for %v only; %+v, %+v", n, held, a.l.Status(), b.l.Status())
		}
		return false
	}
	t.Logf("held up for %v; %+v", held, b.l.Status().Stats)
	b.stop()
	waitFor(t, func() bool { return !isUp(a.l.Status()) && downs.Load() >= 2 }, func() any { return a.l.Status() })
	if why := a.l.Status().LastError; !strings.Contains(why, "nothing came from the peer for 50ms") {
		t.Errorf("down because %q", why)
	}
	return true
}
