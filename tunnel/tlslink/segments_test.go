package tlslink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
)

// Which size of segments the next connection has, after what became of those before.
func TestSegments(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	for name, steps := range map[string]string{
		"a path that works":                  "next 0, up 0, next 0, up 0",
		"large packets vanish":               "next 0, timeout 0, next 1200, up 1200 vanish, next 1200, up 1200",
		"those of 1,260 bytes too":           "timeout 0, next 1200, timeout 1200, next 536, up 536 vanish, next 536",
		"nobody answers, whatever the size":  "timeout 0, timeout 1200, timeout 536, next 0, timeout 0, next 1200",
		"another lane was late with its end": "timeout 0, timeout 0, next 1200, up 1200 vanish, timeout 0, next 1200",
		"one bad moment": "timeout 0, next 1200, up 1200 vanish, wait 59s, next 1200, due 1200 no, wait 2m, due 1200 yes, " +
			"next 0, next 1200, up 0 pass, next 0, due 1200 yes, due 0 no",
		"trials get rarer": "timeout 0, up 1200 vanish, wait 2m, next 0, timeout 0, next 1200, wait 110s, next 1200, up 1200, " +
			"wait 20s, next 0, timeout 0, next 1200, wait 3m50s, next 1200, wait 20s, next 0",
		"a trial that is not needed is forgotten": "timeout 0, up 1200 vanish, wait 2m, next 0, up 0 pass, next 0, wait 5h, up 0, timeout 0, " +
			"next 1200, up 1200 vanish, wait 61s, next 0",
		"a path that works and fails by turns": "timeout 0, up 1200 vanish, wait 2m, next 0, up 0 pass, timeout 0, next 1200, up 1200 vanish, " +
			"wait 90s, next 1200",
		"bulk vanishes":                      "up 0, stuck 0, next 1200, up 1200 vanish, wait 2m, next 1420, up 1420 pass, next 1420, due 1420 no, stuck 1420, next 1200",
		"bulk vanishes with small segments":  "stuck 0, next 1200, up 1200 vanish, stuck 1200, next 536",
		"bulk vanished in a bad moment only": "stuck 0, wait 2m, next 1200, up 1200 vanish, wait 2m, next 1420, up 1420 pass, wait 5h, next 1420, up 1420, next 0",
	} {
		t.Run(name, func(t *testing.T) {
			var s segments
			now := time.Now()
			for i, step := range strings.Split(steps, ", ") {
				f := strings.Fields(step)
				var size int
				fmt.Sscan(f[1], &size)
				got := ""
				switch f[0] {
				case "wait":
					d, err := time.ParseDuration(f[1])
					if err != nil {
						t.Fatal(err)
					}
					now = now.Add(d)
					continue
				case "next":
					got = fmt.Sprint("next ", s.next(now, addr))
				case "due":
					got = fmt.Sprint(f[0], " ", size, map[bool]string{true: " yes", false: " no"}[s.isDue(now, addr, size)])
				case "up":
					got = fmt.Sprint("up ", size, []string{"", " vanish", " pass"}[s.cameUp(now, addr, size)])
				case "timeout":
					s.timedOut(now, addr, size)
					continue
				case "stuck":
					s.stuck(now, addr, size)
					continue
				default:
					t.Fatalf("step %q", step)
				}
				if got != step {
					t.Fatalf("step %d: %s, want %s", i, got, step)
				}
			}
			if got := s.next(now, netip.MustParseAddr("192.0.2.2")); got != 0 {
				t.Errorf("another address: %d", got)
			}
		})
	}
}

func TestSegmentsRememberSoManyAddresses(t *testing.T) {
	var s segments
	now := time.Now()
	a := netip.MustParseAddr("2001:db8::")
	for range 3 * maxNarrowings {
		a = a.Next()
		now = now.Add(time.Millisecond)
		s.timedOut(now, a, 0)
	}
	if len(s.of) != maxNarrowings || s.next(now, a) != smallSegments[0] {
		t.Errorf("%d addresses, the last with %d", len(s.of), s.next(now, a))
	}
}

// When what the kernel says of a connection means that its large packets vanish.
func TestStall(t *testing.T) {
	type look struct {
		at   time.Duration
		flow flow
		want bool
	}
	const s, big = time.Second, 60_000
	for name, looks := range map[string][]look{
		"a flow that works": {{0, flow{unacked: big}, false}, {s, flow{unacked: big}, false}, {2 * s, flow{unacked: big}, false}},
		"large packets vanish, and the peer is heard": {
			{0, flow{repeats: 1, unacked: big}, false},
			{s, flow{repeats: 3, unacked: big, lastData: s / 2}, true},
			{2 * s, flow{repeats: 4, unacked: big, lastData: s / 2}, false}, // told once
		},
		"the path is dead": {
			{0, flow{repeats: 1, unacked: big, lastData: s / 2}, false},
			{s, flow{repeats: 3, unacked: big, lastData: 3 * s / 2}, false},
			{9 * s, flow{repeats: 9, unacked: big, lastData: 19 * s / 2}, false},
		},
		"keepalives are lost": {{0, flow{repeats: 1, unacked: 300}, false}, {s, flow{repeats: 3, unacked: 300}, false}},
		"some are lost":       {{0, flow{repeats: 1, unacked: big}, false}, {s, flow{unacked: big}, false}, {2 * s, flow{repeats: 3, unacked: big}, false}},
	} {
		var st stall
		start := time.Now()
		for i, l := range looks {
			if got := st.vanishes(start.Add(l.at), l.flow); got != l.want {
				t.Errorf("%s: look %d: %v", name, i, got)
			}
		}
	}
	mute := flow{lastAck: s / 2, lastData: 3 * s}
	if !mute.isMute(s, 3*s) {
		t.Error("a peer that acknowledges and says nothing is not mute")
	}
	for _, f := range []flow{{lastAck: 3 * s, lastData: 3 * s, unacked: 50}, {lastAck: s / 2, lastData: s / 2}, {lastAck: 3 * s, lastData: 3 * s}} {
		if f.isMute(s, 3*s) {
			t.Errorf("%+v is mute", f)
		}
	}
}

// narrowPath lets through only connections with small segments, as a path does where large
// packets vanish: the others connect, and nothing comes.
type narrowPath struct {
	*proxy
	l net.Listener
}

func newNarrowPath(t *testing.T, to string, wide *bool) *narrowPath {
	t.Helper()
	inner := newProxy(t, to)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &narrowPath{inner, l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			raw, _ := c.(*net.TCPConn).SyscallConn()
			size := 0
			_ = raw.Control(func(fd uintptr) { size, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
			inner.mu.Lock()
			inner.conns = append(inner.conns, c)
			pass := *wide || size <= smallSegments[0]
			inner.mu.Unlock()
			if !pass {
				continue
			}
			out, err := net.Dial("tcp", inner.addr())
			if err != nil {
				c.Close()
				continue
			}
			go inner.copy(c, out)
			go inner.copy(out, c)
		}
	}()
	return p
}

// A tunnel over a path where large packets vanish comes up with small segments and says so;
// when they pass again its connection is replaced by one without, and nothing is lost.
func TestLargePacketsVanish(t *testing.T) {
	a, b := newEnd(t, Config{Identity: tunnel.Identity{1}}, "b"), newEnd(t, Config{Identity: tunnel.Identity{2}}, "a")
	var wide bool
	path := newNarrowPath(t, b.addr(), &wide)
	b.start(secretTrust(1))
	a.cfg.Keepalive, b.cfg.Keepalive = 100*time.Millisecond, 100*time.Millisecond
	a.endpoint.renewal.age = time.Minute // so that it is tried again after a second
	a.start(secretTrust(1), path.l.Addr().String())
	a.link.segments.mu.Lock()
	a.link.segments.first = 50 * time.Millisecond
	a.link.segments.mu.Unlock()
	a.waitEvents(1)
	b.waitEvents(1)
	want := "large packets vanish on the way to 127.0.0.1 or back, and no ICMP error says so: TCP segments are clamped to 1200 bytes"
	if s := a.link.Status(); !strings.HasPrefix(s.Hint, want) || s.LastError != "" {
		t.Errorf("%+v", s)
	}
	if s := b.link.Status(); s.Hint != "" {
		t.Errorf("the listening end: %+v", s)
	}
	path.mu.Lock()
	wide = true
	path.mu.Unlock()
	poll(t, func() bool { return a.link.Status().Hint == "" }, func() string { return fmt.Sprintf("%+v", a.link.Status()) })
	a.dev.queues[0] <- packet(100, 1)
	b.waitWritten(1)
	if n := len(a.seen()); n != 1 {
		t.Errorf("%d events", n)
	}
}

// Two ends that wait equally long: a listening one that gives up first is no other case.
func TestGotNoAnswer(t *testing.T) {
	for _, tc := range []struct {
		err  error
		took time.Duration
		want bool
	}{
		{context.DeadlineExceeded, handshakeTimeout, true},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, handshakeTimeout, true},
		{io.EOF, handshakeTimeout - 50*time.Millisecond, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, handshakeTimeout - 50*time.Millisecond, true},
		{io.EOF, 100 * time.Millisecond, false},
		{errors.New("tls: bad certificate"), handshakeTimeout, false},
		{context.Canceled, handshakeTimeout, false},
	} {
		if got := gotNoAnswer(tc.err, tc.took); got != tc.want {
			t.Errorf("%v after %v: %v", tc.err, tc.took, got)
		}
	}
}
