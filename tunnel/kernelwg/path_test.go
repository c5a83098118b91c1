package kernelwg

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/wireguard/pathmtu"
)

// underlay lets packets up to a size through the tunnel, whose interface has an MTU.
type underlay struct {
	mu      sync.Mutex
	passes  int
	mtu     int
	refuses error // what setting it fails with
	set     []int
	largest int // that were sent
	open    int
	ends    []pathmtu.Ends
}

func (u *underlay) with(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f()
}

func (u *underlay) setMTU(mtu int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.refuses != nil {
		return u.refuses
	}
	u.mtu = mtu
	u.set = append(u.set, mtu)
	return nil
}

// echoes is a prober whose peer answers.
type echoes struct {
	*underlay
	headers int
	tokens  chan pathmtu.Token
	closed  chan struct{}
}

func (u *underlay) dial(_ string, e pathmtu.Ends) (prober, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open++
	u.ends = append(u.ends, e)
	headers := 20
	if e.Peer.Is6() {
		headers = 40
	}
	return &echoes{u, headers, make(chan pathmtu.Token), make(chan struct{})}, nil
}

func (e *echoes) Send(m []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	size := e.headers + len(m)
	if size > e.mtu {
		return unix.EMSGSIZE
	}
	e.largest = max(e.largest, size)
	if size > e.passes {
		return nil
	}
	m = slices.Clone(m)
	m[0] = 0 // the kernel's answer, of IPv4
	if e.headers == 40 {
		m[0] = 129
	}
	t, ok := pathmtu.TakeMessage(m)
	if !ok {
		return errors.New("no probe")
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		select {
		case e.tokens <- t:
		case <-e.closed:
		}
	}()
	return nil
}

func (e *echoes) Answered() <-chan pathmtu.Token { return e.tokens }

func (e *echoes) Close() {
	close(e.closed)
	e.with(func() { e.open-- })
}

var ends6 = pathmtu.Ends{Local: netip.MustParseAddr("fd00::1"), Peer: netip.MustParseAddr("fd00::2")}

// seek runs script on a link of 1420 bytes over an underlay.
func seek(t *testing.T, passes int, script func(*Link, *underlay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := &underlay{passes: passes, mtu: 1420}
		l := startWith(t, &kernel{}, Config{MTU: 1420, SetMTU: u.setMTU}, nil)
		l.path.open = u.dial
		ended := make(chan struct{})
		go func() { defer close(ended); l.SeekMTU(t.Context()) }()
		t.Cleanup(func() {
			<-ended
			if u.open != 0 {
				t.Errorf("%d sockets are left open", u.open)
			}
		})
		l.SetEnds(ends6.Local, ends6.Peer)
		script(l, u)
	})
}

// Where nothing vanishes nothing is done but to look.
func TestWidePath(t *testing.T) {
	seek(t, 1420, func(l *Link, u *underlay) {
		time.Sleep(time.Minute)
		u.with(func() {
			if u.largest != 0 {
				t.Error("it sent probes before it was up")
			}
		})
		l.SetUp(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if u.largest != 1420 || len(u.set) > 0 || l.Hint() != "" {
			t.Errorf("largest %d, set %v, %q", u.largest, u.set, l.Hint())
		}
	})
}

// The interface's MTU becomes what passes, and is what it was when more passes again.
func TestNarrowPath(t *testing.T) {
	seek(t, 1337, func(l *Link, u *underlay) {
		l.SetUp(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if u.mtu != 1337 || len(u.set) != 1 || !strings.Contains(l.Hint(), "clamped to packets of 1337 bytes") || !strings.Contains(l.Hint(), "set mtu = 1337") {
			t.Fatalf("set %v, %q", u.set, l.Hint())
		}
		u.with(func() { u.passes = 1420 })
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if u.mtu != 1420 || l.Hint() != "" {
			t.Errorf("set %v, %q", u.set, l.Hint())
		}
	})
}

// To try a larger packet than the interface takes its MTU is that for a moment.
func TestLargerPacketIsTried(t *testing.T) {
	seek(t, 1337, func(l *Link, u *underlay) {
		l.SetUp(true)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if u.mtu != 1337 || !slices.Contains(u.set, 1338) {
			t.Errorf("set %v", u.set)
		}
	})
}

// An interface with less than IPv6 demands has none, so that it is left, and the operator is told.
func TestPathThatIsTooNarrow(t *testing.T) {
	seek(t, 1000, func(l *Link, u *underlay) {
		l.SetUp(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if u.mtu != 1280 || !strings.Contains(l.Hint(), "no more than 1000 bytes pass") {
			t.Errorf("set %v, %q", u.set, l.Hint())
		}
	})
}

// A path that is another is looked at at once, by the addresses that the peer answers at, and a tunnel that is down is not.
func TestPathIsAnother(t *testing.T) {
	seek(t, 1420, func(l *Link, u *underlay) {
		l.SetUp(true)
		time.Sleep(10 * time.Second)
		u.with(func() { u.passes = 1300 })
		l.mu.Lock()
		l.pathMayDiffer()
		l.mu.Unlock()
		time.Sleep(10 * time.Second)
		u.with(func() {
			if u.mtu != 1300 {
				t.Errorf("set %v", u.set)
			}
		})
		l.SetUp(false)
		synctest.Wait()
		u.with(func() {
			if u.open != 0 {
				t.Error("it goes on while the tunnel is down")
			}
			u.passes = 1420
		})
		ends4 := pathmtu.Ends{Local: netip.MustParseAddr("169.254.1.0"), Peer: netip.MustParseAddr("169.254.1.1")}
		l.SetEnds(ends4.Local, ends4.Peer)
		l.SetUp(true)
		time.Sleep(10 * time.Second)
		u.with(func() {
			if u.ends[len(u.ends)-1] != ends4 || u.mtu != 1420 {
				t.Errorf("ends %v, set %v", u.ends, u.set)
			}
		})
	})
}

// A size that was confirmed is looked at more often while large packets are sent.
func TestLargePacketsAreSent(t *testing.T) {
	seek(t, 1420, func(l *Link, u *underlay) {
		l.SetUp(true)
		time.Sleep(time.Minute)
		u.with(func() { u.passes = 1300 })
		l.Busy()
		time.Sleep(20 * time.Second)
		u.with(func() {
			if u.mtu != 1300 {
				t.Errorf("set %v", u.set)
			}
		})
	})
}

// What the MTU cannot be set to is set later.
func TestMTUCannotBeSet(t *testing.T) {
	seek(t, 1337, func(l *Link, u *underlay) {
		u.with(func() { u.refuses = errors.New("no") })
		l.SetUp(true)
		time.Sleep(time.Minute)
		u.with(func() { u.refuses = nil })
		time.Sleep(5 * time.Minute)
		u.with(func() {
			if u.mtu != 1337 {
				t.Errorf("set %v", u.set)
			}
		})
	})
}
