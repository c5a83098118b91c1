package tlslink

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// heldDials are dials of a link that wait until a test lets them go on, or fails them.
type heldDials struct {
	mu   sync.Mutex
	hold bool
	held chan heldDial
}

type heldDial struct {
	to string
	do chan error // capacity 1; nil: go on
}

// control is for LinkConfig.Control.
func (h *heldDials) control(_, to string, _ syscall.RawConn) error {
	h.mu.Lock()
	hold := h.hold
	h.mu.Unlock()
	if !hold {
		return nil
	}
	d := heldDial{to, make(chan error, 1)}
	h.held <- d
	return <-d.do
}

// logged delivers a value for each line of a log that has a text.
type logged struct {
	slog.Handler
	text  string
	lines chan struct{}
}

func newLogged(text string) logged {
	return logged{slog.DiscardHandler, text, make(chan struct{}, 64)}
}

func (l logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) WithAttrs([]slog.Attr) slog.Handler       { return l }

func (l logged) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.text) {
		select {
		case l.lines <- struct{}{}:
		default:
		}
	}
	return nil
}

// next waits for a value.
func next[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
	}
	return v
}

// Lane 0 is replaced while the first remote is asked, which fails. Both ends move to the new connection, and the one before is closed.
func TestFirstLaneIsReplacedWhileTheFirstRemoteIsAsked(t *testing.T) {
	t.Parallel()
	absent, dials := newLogged("the first of the remotes is not there"), &heldDials{held: make(chan heldDial, 16)}
	s := servers(t, 1)[0]
	c := newEnd(t, Config{Identity: [32]byte{1}, Logger: slog.New(absent)}, "server")
	c.endpoint.renewal.age = 256 * 100 * time.Millisecond // so that it obeys, once the peer asks
	c.cfg.ReturnToFirst, c.cfg.Control = true, dials.control
	c.homeward = &homeward{every: 10 * time.Millisecond, proof: time.Hour}
	nowhere := newProxy(t, s.addr())
	nowhere.l.Close()
	c.start(secretTrust(0), nowhere.addr(), s.addr())
	c.waitEvents(1)
	s.waitEvents(1)
	exchangePackets(t, c, s)
	before := c.link.routes[0].Load()
	dials.mu.Lock()
	dials.hold = true
	dials.mu.Unlock()

	ask := next(t, dials.held, "the first remote is asked")
	if ask.to != nowhere.addr() {
		t.Fatalf("%s is dialed", ask.to)
	}
	ln := s.link.routes[0].Load()
	var lane heldDial
	poll(t, func() bool {
		select {
		case lane = <-dials.held:
			return true
		default: // the peer asks for that; it has no effect while lane 0 is young
			ln.s.enqueue(encode(frameRenew, []byte{0}))
			return false
		}
	}, func() string { return "lane 0 is not replaced" })
	if lane.to != s.addr() {
		t.Fatalf("%s is dialed", lane.to)
	}
	for len(absent.lines) > 0 {
		<-absent.lines
	}
	ask.do <- errors.New("not there")
	next(t, absent.lines, "the asking failed")
	dials.mu.Lock()
	dials.hold = false
	dials.mu.Unlock()
	lane.do <- nil
	go func() {
		for {
			select {
			case d := <-dials.held:
				d.do <- nil
			case <-c.link.done:
				return
			}
		}
	}()

	poll(t, func() bool { return c.link.routes[0].Load() != before }, func() string { return "lane 0 was not replaced" })
	exchangePackets(t, c, s)
	next(t, before.ended, "the connection before is closed")
	poll(t, func() bool { return before.finished.Load() == 2 }, func() string { return "the connection before stays" })
	if now := c.link.routes[0].Load(); !now.isVital() {
		t.Error("lane 0 is not the one that the session ends with")
	}
	if len(c.seen()) != 1 || len(s.seen()) != 1 {
		t.Errorf("events %+v %+v", c.seen(), s.seen())
	}
}

// The first remote does not take over while lane 0 is being replaced otherwise. It is asked again.
func TestFirstRemoteWaitsForTheLaneThatIsReplaced(t *testing.T) {
	l, s := stillLink(t)
	l.back.since = time.Now().Add(-time.Hour)
	for _, c := range []struct {
		name     string
		renewing bool
		draining []*lane
		takes    bool
	}{
		{"being dialed", true, nil, false},
		{"waited for", false, []*lane{{}}, false},
		{"none", false, nil, true},
	} {
		l.back.asking, s.renewing[0], s.draining = true, c.renewing, c.draining
		l.returned(t.Context(), returnResult{s: s, addr: s.remote})
		if l.back.asking != c.takes || s.renewing[0] != (c.takes || c.renewing) || l.back.since.IsZero() {
			t.Errorf("%s: takes it over: %v, replaces lane 0: %v", c.name, l.back.asking, s.renewing[0])
		}
	}
}

// Another router that takes over hears of its session, which has begun there, while the one before is being ended.
func TestFirstRemoteHearsOfItsSessionWhileTheOneBeforeEnds(t *testing.T) {
	locked := make(chan struct{})
	release := sync.OnceFunc(func() { close(locked) })
	defer release()
	c, first, second := withSecond(t, func(c *end) {
		c.cfg.Keepalive, c.cfg.ReturnToFirst, c.homeward = MinKeepalive, true, &homeward{}
		c.prepare = func(d *fakeDevice) {
			d.onCarrier = func(up bool) {
				if !up {
					<-locked
				}
			}
		}
	})
	first.waitEvents(1)
	heard := first.link.routes[0].Load()
	poll(t, func() bool { return heard.wire.arrived.n.Load() >= 5 }, func() string { return "the first hears nothing" })
	release()
	if evs := c.waitEvents(3); evs[1].Reason != errReturning.Error() || evs[2].Remote != first.place() || evs[2].Time.Before(evs[1].Time) {
		t.Errorf("events %+v", evs[1:])
	}
	second.waitEvents(2)
	exchangePackets(t, c, first)
	if evs := first.seen(); len(evs) != 1 {
		t.Errorf("the first: events %+v", evs)
	}
}

// A connection to the first remote that fails before it takes over changes nothing: the tunnel is not with the first, whose address has
// failed, and goes back later. Be it the router that the session is with, or another.
func TestFirstRemoteThatFailsDoesNotTakeOver(t *testing.T) {
	for name, instance := range map[string]byte{"same router": 0, "another": 1} {
		t.Run(name, func(t *testing.T) {
			l, s := stillLink(t)
			first, before, remote := netip.MustParseAddrPort("127.0.0.1:2"), s.lanes[0], s.remote
			here, there := net.Pipe()
			there.Close()
			w := newWire(here)
			l.goBack(returnResult{
				s: s, addr: first, taking: true, wire: w, conn: tls.Client(w, &tls.Config{InsecureSkipVerify: true}),
				peer: hello{session: s.id, instance: [16]byte{instance}},
			})
			if l.session != s || s.lanes[0] != before || s.isHome() || s.remote != remote || l.report.Status().Remote.IsValid() {
				t.Errorf("it has taken over: remote %d, %v", s.which, s.remote)
			}
			if !l.book.IsBad(first, time.Now()) {
				t.Error("its address is good")
			}
			select {
			case <-s.done:
				t.Errorf("the session ended: %v", s.err)
			default:
			}
		})
	}
}

// A lane that is being dialed when the tunnel goes back to the first remote comes up by the one before, and is replaced.
func TestLaneOfTheRemoteBeforeIsReplaced(t *testing.T) {
	t.Parallel()
	dials := &heldDials{held: make(chan heldDial, 16)}
	s := servers(t, 1)[0]
	c := client(t)
	c.cfg.ReturnToFirst, c.cfg.Control = true, dials.control
	c.homeward = &homeward{every: 10 * time.Millisecond}
	first := newProxy(t, s.addr())
	var there atomic.Bool
	c.resolver = func(_ context.Context, _, name string) ([]netip.AddrPort, error) {
		switch {
		case name == "second:1":
			return []netip.AddrPort{s.place()}, nil
		case there.Load():
			return []netip.AddrPort{netip.MustParseAddrPort(first.addr())}, nil
		}
		return nil, errors.New("no such name")
	}
	c.start(secretTrust(0), "first:1", "second:1")
	c.waitEvents(1)
	s.waitEvents(1)
	dials.mu.Lock()
	dials.hold = true
	dials.mu.Unlock()
	ln := s.link.routes[0].Load()
	var lane heldDial
	poll(t, func() bool {
		select {
		case lane = <-dials.held:
			return true
		default:
			ln.s.enqueue(encode(frameWiden, nil))
			return false
		}
	}, func() string { return "no lane is dialed" })
	if lane.to != s.addr() {
		t.Fatalf("%s is dialed", lane.to)
	}
	dials.mu.Lock()
	dials.hold = false
	dials.mu.Unlock()
	there.Store(true)
	at := func(queue, number int) bool {
		ln := c.link.routes[queue].Load()
		return ln.number == number && ln.wire.RemoteAddr().String() == first.addr()
	}
	poll(t, func() bool { return at(0, 0) }, func() string { return "the first does not take over" })
	lane.do <- nil
	poll(t, func() bool { return at(c.link.laneQueue(1), 1) }, func() string { return "the lane stays with the remote before" })
	exchangePackets(t, c, s)
	if len(c.seen()) != 1 || len(s.seen()) != 1 {
		t.Errorf("events %+v %+v", c.seen(), s.seen())
	}
}

// stillLink is a link that does not run, with a session that it dialed and whose peer can't be reached.
func stillLink(t *testing.T) (*Link, *session) {
	t.Helper()
	l := newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 2), Keepalive: time.Second, DeadAfter: MaxDeadAfter}, []*credential{{}})
	t.Cleanup(func() { close(l.done) })
	w := newWire(nil)
	l.session = &session{link: l, dialer: true, which: 1, remote: netip.MustParseAddrPort("127.0.0.1:1"), done: make(chan struct{})}
	l.session.peer.flags, l.session.peer.lanes = flagRenews, 2
	for n := range 2 {
		l.session.lanes[n] = newLane(l.session, n, nil, w)
	}
	l.session.first.Store(l.session.lanes[0])
	return l, l.session
}
