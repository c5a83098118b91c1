package tlslink

import (
	"context"
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
	}{
		"nobody waited":      {peer: hello{lanes: 4, flags: flagWidens}},
		"half of the time":   {[4]time.Duration{0, 500 * time.Millisecond}, hello{lanes: 4, flags: flagWidens}, 0},
		"more than half":     {[4]time.Duration{0, 200 * time.Millisecond, 0, 301 * time.Millisecond}, hello{lanes: 4, flags: flagWidens}, 1},
		"peer with one lane": {[4]time.Duration{0, time.Second}, hello{lanes: 1, flags: flagWidens}, 0},
		"older peer":         {[4]time.Duration{0, time.Second}, hello{lanes: 4}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 4), Keepalive: time.Second}, []*credential{{}})
			s := &session{link: l, peer: c.peer, control: make(chan []byte, 8)}
			l.session = s
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

// slowPath returns two ends that are up, b behind a path of 400 KB/s for each
// connection. That is a third of what opens lanes as mere traffic.
func slowPath(t *testing.T) (a, b *end) {
	t.Helper()
	a, b = secretPair(t)
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
			if st := from.link.Status(); len(a.seen()) != 1 || len(b.seen()) != 1 || st.Stats.Drops > 0 {
				t.Fatalf("the session ended, or packets were dropped: %+v", st)
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
