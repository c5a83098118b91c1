package tlslink

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestWaitsAddUp(t *testing.T) {
	var w waits
	if got := w.until(monotonic()); got != 0 {
		t.Fatalf("%v before the first wait", got)
	}
	before := monotonic()
	w.begin()
	if got, most := w.until(before+time.Hour), time.Hour; got > most || got < most-patience {
		t.Fatalf("%v in a wait of about an hour", got)
	}
	w.end()
	sum := w.until(monotonic())
	if sum < 0 || sum > monotonic()-before || sum != w.until(monotonic()+time.Hour) {
		t.Fatalf("%v after a wait", sum)
	}
}

// The end that does not dial asks for lanes if queues waited for each other for more
// than half of the time, lanes are missing, and the peer knows what is meant.
func TestListeningEndAsks(t *testing.T) {
	for name, c := range map[string]struct {
		waited [4]time.Duration
		peer   hello
		want   int
		path   string // of lane 0
	}{
		"nobody waited":      {peer: hello{lanes: 4, flags: flagWidens}},
		"half of the time":   {[4]time.Duration{0, 500 * time.Millisecond}, hello{lanes: 4, flags: flagWidens}, 0, ""},
		"more than half":     {[4]time.Duration{0, 200 * time.Millisecond, 0, 301 * time.Millisecond}, hello{lanes: 4, flags: flagWidens}, 1, ""},
		"peer with one lane": {[4]time.Duration{0, time.Second}, hello{lanes: 1, flags: flagWidens}, 0, ""},
		"older peer":         {[4]time.Duration{0, time.Second}, hello{lanes: 4}, 0, ""},
		"a slow path":        {[4]time.Duration{0, time.Second}, hello{lanes: 4, flags: flagWidens}, 1, "reno"},
		"a slow path, bbr":   {[4]time.Duration{0, time.Second}, hello{lanes: 4, flags: flagWidens}, 0, BestCongestion},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 4), Keepalive: time.Second}, []*credential{{}})
			s := &session{link: l, peer: c.peer, control: make(chan []byte, 8)}
			l.session = s
			s.lanes[0] = newLane(s, 0, nil, newWire(nil))
			if c.path != "" {
				conn, _ := tcpPair(t)
				w := newWire(conn)
				if err := w.setCongestion(c.path); err != nil && c.path == BestCongestion {
					c.want = 1 // the kernel does not give it: it is as any other path
				}
				s.lanes[0].wire, w.rate = w, 10e6/8
			}
			s.first.Store(s.lanes[0])
			for q, d := range c.waited {
				l.waits[q].sum.Store(int64(d))
			}
			for range 2 { // what was before the last tick does not count again
				l.widen(context.Background())
			}
			if len(s.control) != c.want {
				t.Fatalf("asked %d times, want %d", len(s.control), c.want)
			}
			if c.want > 0 {
				if f := <-s.control; f[0] != frameWiden || len(f) != headerLen {
					t.Fatalf("frame %x", f)
				}
			}
		})
	}
}

// With bbr further lanes help on a path that sends what waits in all of them in the time that may wait in one.
func TestLanesHelp(t *testing.T) {
	const mbit = 1e6 / 8
	for _, c := range []struct {
		congestion string
		rate       uint64
		lanes      int
		want       bool
	}{
		{BestCongestion, 10 * mbit, 4, false},
		{BestCongestion, 65 * mbit, 4, false},
		{BestCongestion, 66 * mbit, 4, true},
		{BestCongestion, 32 * mbit, 2, false},
		{BestCongestion, 33 * mbit, 2, true},
		{BestCongestion, 0, 4, true}, // not known
		{"cubic", 1 * mbit, 4, true},
		{"", 1 * mbit, 4, true},
	} {
		if got := lanesHelp(c.congestion, c.rate, c.lanes); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// The number of processors, which may become another under a session, changes nothing about the lanes that it may have.
func TestLanesOutlastAChangeOfProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	l := newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 4), Keepalive: time.Second}, []*credential{{}})
	runtime.GOMAXPROCS(2)
	h := l.hello(newSessionID(), 3)
	if _, err := parseHello(h.marshal()); err != nil {
		t.Error(err)
	}
	l.session = &session{link: l, peer: hello{lanes: 4}}
	if n := l.wantedLanes(); n != 4 {
		t.Errorf("%d lanes, want 4", n)
	}
}

// Lanes that can't be dialed are tried again after pauses, however much traffic asks for them, and the first failure of a session is
// worth a line in the log. When all are there, the next failure finds the first pause.
func TestLanesThatFailAreTriedAgainAfterPauses(t *testing.T) {
	l, s := stillLink(t)
	began, later := time.Now(), atomic.Int64{}
	l.e.cfg.Now = func() time.Time { return began.Add(time.Duration(later.Load())) }
	var lines bytes.Buffer
	l.log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing comes of a dial
	l.maxLanes, s.peer.lanes, s.lanes[1] = 4, 4, nil
	dials := func() int {
		s.asked.Store(true)
		l.widen(ctx)
		return s.laneDials
	}
	fail := func() {
		for n := range s.laneDials {
			l.laneDialed(laneResult{laneDial: laneDial{s: s, hello: hello{lane: uint8(n + 1)}}, err: errors.New("refused")})
		}
	}
	for _, pause := range []time.Duration{10, 20, 40, 80, 160, 320, 600, 600} {
		if n := dials(); n != 3 {
			t.Fatalf("%d are dialed, want 3; then a pause of %d s", n, pause)
		}
		fail()
		later.Add(int64(pause*time.Second - 1))
		if n := dials(); n != 0 {
			t.Fatalf("%d are dialed within %d s", n, pause)
		}
		later.Add(1)
	}
	if n := strings.Count(lines.String(), "cannot open a further connection"); n != 1 {
		t.Errorf("%d lines in the log, want 1", n)
	}
	s.widening.succeeded()
	dials()
	fail()
	later.Add(int64(minWidenPause))
	if dials() != 3 {
		t.Error("the pause is as long as before")
	}
}

// A lane that can't be replaced is tried again and again, and the log has it now and then.
func TestLaneThatIsNotReplacedIsSaidNowAndThen(t *testing.T) {
	l, s := stillLink(t)
	now := time.Now()
	l.e.cfg.Now = func() time.Time { return now }
	var lines bytes.Buffer
	l.log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for range 10 {
		for n := range uint8(2) {
			l.laneDialed(laneResult{laneDial: laneDial{s: s, hello: hello{lane: n}, renews: true}, err: errors.New("refused")})
		}
		now = now.Add(sayAgain / 5)
	}
	if n := strings.Count(lines.String(), "cannot replace a connection"); n != 2 {
		t.Errorf("%d lines in the log, want 2", n)
	}
}

// slowPath returns two ends that are up, b behind a path of 400 KB/s for each
// connection. That is a third of what opens lanes as mere traffic.
func slowPath(t *testing.T) (a, b *end) {
	t.Helper()
	a, b = secretPair(t)
	a.cfg.Congestion, b.cfg.Congestion = "reno", "reno" // with bbr further lanes would be of no use
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	a.start(secretTrust(0), via.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	via.throttle(400 << 10)
	return a, b
}

// Flows that hold each other back get further lanes, whichever end sends them.
func TestLanesOpenWhenQueuesWaitForEachOther(t *testing.T) {
	for _, sender := range []string{"dialing", "listening"} {
		t.Run(sender, func(t *testing.T) {
			a, b := slowPath(t)
			from, to := a, b
			if sender == "listening" {
				from, to = b, a
			}
			stop := make(chan struct{})
			defer close(stop)
			for q := range 2 {
				go flood(from, q, stop)
			}
			poll(t, func() bool { return a.link.Status().Lanes == 2 && b.link.Status().Lanes == 2 },
				func() string { return "not two lanes" })
			to.waitWritten(20)
			if len(a.seen()) != 1 || len(b.seen()) != 1 {
				t.Fatalf("the session ended: %+v", from.link.Status())
			}
		})
	}
}

// A flow alone has nothing of further lanes.
func TestOneSlowFlowKeepsOneLane(t *testing.T) {
	for _, sender := range []string{"dialing", "listening"} {
		t.Run(sender, func(t *testing.T) {
			a, b := slowPath(t)
			from, to := a, b
			if sender == "listening" {
				from, to = b, a
			}
			stop := make(chan struct{})
			defer close(stop)
			go flood(from, 0, stop)
			// At this rate that takes some ten keepalives in which the lane is full.
			to.waitWritten(10)
			if a, b := a.link.Status(), b.link.Status(); a.Lanes != 1 || b.Lanes != 1 {
				t.Fatalf("%d and %d lanes, want 1", a.Lanes, b.Lanes)
			}
		})
	}
}
