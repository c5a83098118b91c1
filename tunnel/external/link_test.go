package external

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/internal/ping"
)

// A stage is a Link with an interface and a peer that the test moves. It
// lives in a synctest bubble: time passes only where the test lets it.
//
// The script holds mu while it runs, and lets go of it while it waits.
type stage struct {
	link *Link
	mu   sync.Mutex

	sight     Sight
	failing   error            // of looking
	busy      time.Duration    // how long a look takes
	answers   bool             // the peer answers pings
	answersAt netip.Addr       // only those from this address; not valid: all
	unopened  map[string]error // of opening the socket from an address
	unsent    error            // of sending pings
	pings     []*fakePing
	events    []string
	added     []string
	start     time.Time
}

type fakePing struct {
	s       *stage
	local   netip.Addr
	sent    int
	replies chan ping.Answer
	closed  chan struct{}
}

func (p *fakePing) Send() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.unsent != nil {
		return p.s.unsent
	}
	p.sent++
	if p.s.answers && (!p.s.answersAt.IsValid() || p.s.answersAt == p.local) {
		go func() {
			time.Sleep(10 * time.Millisecond)
			select {
			case p.replies <- ping.Answer{RTT: 10 * time.Millisecond}:
			case <-p.closed:
			}
		}()
	}
	return nil
}
func (p *fakePing) Answers() <-chan ping.Answer { return p.replies }
func (p *fakePing) Close()                      { close(p.closed) }

func working(index int) Sight {
	return Sight{Index: index, MTU: 1400, Up: true, Running: true, Addresses: prefixes("10.8.0.1/24")}
}

// play runs script on a link to 10.8.0.2.
func play(t *testing.T, c Config, script func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{start: time.Now()}
		c.Name, c.Interface = "b", "tun0"
		c.PeerAddress = netip.MustParseAddr("10.8.0.2")
		c.Keepalive, c.DeadAfter = time.Second, 3*time.Second
		c.Events = func(ev tunnel.Event) {
			word := "down: " + ev.Reason
			if ev.Up {
				word = "up"
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, fmt.Sprintf("%v %s", ev.Time.Sub(s.start), word))
		}
		if len(c.Addresses) > 0 {
			c.AddAddresses = func(index int, lacking []netip.Prefix) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.added = append(s.added, fmt.Sprint(index, lacking))
				s.sight.Addresses = append(s.sight.Addresses, lacking...)
				return nil
			}
		}
		c.Look = func(string) (Sight, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.busy > 0 { // for each who looks
				busy := s.busy
				s.mu.Unlock()
				time.Sleep(busy)
				s.mu.Lock()
			}
			return s.sight, s.failing
		}
		l, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		l.newPing = func(_ string, local, _ netip.Addr) (pinger, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if err := s.unopened[local.String()]; err != nil {
				return nil, err
			}
			p := &fakePing{s: s, local: local, replies: make(chan ping.Answer), closed: make(chan struct{})}
			s.pings = append(s.pings, p)
			return p, nil
		}
		s.link = l
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		s.mu.Lock()
		go func() { ended <- l.Run(ctx) }()
		script(s)
		s.mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		for i, p := range s.pings {
			select {
			case <-p.closed:
			default:
				t.Errorf("socket %d was left open", i)
			}
		}
		if st := l.Status(); st.State != tunnel.StateDown {
			t.Errorf("in the end it is %s", st.State)
		}
	})
}

// wait lets time pass, and everything that happens meanwhile come to rest.
func (s *stage) wait(d time.Duration) {
	s.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
	s.mu.Lock()
}

// sentFrom counts the echoes by the address that they are sent from.
func (s *stage) sentFrom() map[string]int {
	sent := map[string]int{}
	for _, p := range s.pings {
		sent[p.local.String()] += p.sent
	}
	return sent
}

func (s *stage) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.events, want) {
		t.Errorf("events:\n got %s\nwant %s", strings.Join(s.events, "; "), strings.Join(want, "; "))
	}
	s.events = nil
}

// now is the link's status, for a script.
func (s *stage) now() tunnel.Status {
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.link.Status()
}

func (s *stage) status(t *testing.T, state tunnel.State, lastError string) {
	t.Helper()
	if st := s.now(); st.State != state || !strings.Contains(st.LastError, lastError) {
		t.Errorf("status: %s, %q; want %s, %q", st.State, st.LastError, state, lastError)
	}
}

func TestPingDecides(t *testing.T) {
	play(t, Config{Ping: true}, func(s *stage) {
		s.wait(500 * time.Millisecond)
		s.status(t, tunnel.StateWaiting, "interface tun0 does not exist (yet)")

		s.sight = working(7)
		s.wait(time.Second) // 1.5 s: seen at 1 s
		s.status(t, tunnel.StateConnecting, "")
		s.wait(3 * time.Second) // 4.5 s
		s.status(t, tunnel.StateConnecting, "no reply to pings from 10.8.0.2 for 3s; if it answers no pings at all")
		s.expect(t)

		s.answers = true
		s.wait(time.Second) // 5.5 s
		s.expect(t, "5.01s up")
		if st := s.now(); st.MTU != 1400 || st.RTT != 10*time.Millisecond || s.link.LocalAddress() != netip.MustParseAddr("10.8.0.1") {
			t.Errorf("%+v, from %s", st, s.link.LocalAddress())
		}

		s.answers = false // the last reply came at 5.01 s
		s.wait(3 * time.Second)
		s.expect(t, "8.01s down: no reply to pings from 10.8.0.2 for 3s")
		s.answers = true
		s.wait(time.Second)
		s.expect(t, "9.01s up")
		if len(s.pings) != 1 {
			t.Errorf("%d sockets", len(s.pings))
		}
	})
}

func TestInterfaceComesAndGoes(t *testing.T) {
	play(t, Config{Ping: true}, func(s *stage) {
		s.wait(500 * time.Millisecond) // 0.5 s
		s.answers, s.sight = true, working(7)
		s.wait(time.Second) // 1.5 s
		s.sight = Sight{}
		s.wait(time.Second) // 2.5 s
		s.status(t, tunnel.StateWaiting, "interface tun0 does not exist (yet)")
		s.sight = working(8)
		s.wait(time.Second)  // 3.5 s
		s.sight = working(9) // gone and back between two looks
		s.wait(time.Second)  // 4.5 s
		s.sight.Up, s.sight.Running = false, false
		s.wait(time.Second) // 5.5 s
		s.status(t, tunnel.StateWaiting, "interface tun0 is down")
		s.sight.Up = true
		s.wait(time.Second) // 6.5 s
		s.status(t, tunnel.StateWaiting, "interface tun0 has no carrier")
		s.sight.Running = true
		s.wait(time.Second) // 7.5 s
		s.sight.Addresses = prefixes("10.8.0.9/24")
		s.wait(time.Second) // 8.5 s
		s.failing = errors.New("no memory")
		s.wait(time.Second) // 9.5 s
		s.expect(t, "1.01s up", "2s down: interface tun0 does not exist (yet)", "3.01s up",
			"4s down: interface tun0 was made anew", "4.01s up",
			"5s down: interface tun0 is down: whoever made it has to set it up", "7.01s up",
			"8s down: this end's address became 10.8.0.9", "8.01s up") // not to be able to look is no reason
	})
}

func TestWithoutPingTheInterfaceDecides(t *testing.T) {
	play(t, Config{}, func(s *stage) {
		s.wait(500 * time.Millisecond)
		s.sight = working(7)
		s.wait(10 * time.Second)
		s.sight.Up = false
		s.wait(time.Second)
		s.expect(t, "1s up", "11s down: interface tun0 is down: whoever made it has to set it up")
		if len(s.pings) > 0 {
			t.Error("it pings")
		}
	})
}

// A socket that fails is replaced; that alone does not take the tunnel down,
// nor does it give a dead peer more time.
func TestSocketFails(t *testing.T) {
	play(t, Config{Ping: true}, func(s *stage) {
		s.wait(500 * time.Millisecond)
		s.answers, s.sight = true, working(7)
		s.wait(time.Second) // 1.5 s: up at 1.01 s
		s.pings[0].replies <- ping.Answer{Err: errors.New("broken")}
		s.wait(5 * time.Second) // 6.5 s
		s.expect(t, "1.01s up")
		s.answers = false // the last reply came at 6.01 s
		s.wait(time.Second)
		s.pings[1].replies <- ping.Answer{Err: errors.New("broken")}
		s.wait(3 * time.Second)
		s.expect(t, "9.01s down: no reply to pings from 10.8.0.2 for 3s")
	})
}

// Configured addresses are added where they lack, and added again to an
// interface that was made anew.
func TestConfiguredAddresses(t *testing.T) {
	play(t, Config{Addresses: prefixes("10.8.0.5/24 fd00::1/64")}, func(s *stage) {
		s.wait(500 * time.Millisecond)
		s.sight = working(7)
		s.wait(3 * time.Second)
		if got := s.link.LocalAddress(); got != netip.MustParseAddr("10.8.0.5") {
			t.Errorf("it speaks from %s", got)
		}
		s.sight = working(8)
		s.sight.Addresses = prefixes("fd00::1/64")
		s.wait(time.Second)
		if want := []string{"7 [10.8.0.5/24 fd00::1/64]", "8 [10.8.0.5/24]"}; !slices.Equal(s.added, want) {
			t.Errorf("added %v, want %v", s.added, want)
		}
	})
}

func TestEthernetIsRefused(t *testing.T) {
	play(t, Config{}, func(s *stage) {
		s.wait(500 * time.Millisecond)
		s.sight = working(7)
		s.sight.Broadcast = true
		s.wait(2 * time.Second)
		s.status(t, tunnel.StateWaiting, "is an Ethernet segment")
		s.expect(t)
	})
}

func TestNewRefuses(t *testing.T) {
	good := Config{Name: "b", Interface: "tun0", PeerAddress: netip.MustParseAddr("10.8.0.2"), Ping: true, Keepalive: time.Second, DeadAfter: 2 * time.Second,
		Look: func(string) (Sight, error) { return Sight{}, nil }}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*Config){
		"no interface":       func(c *Config) { c.Interface = "" },
		"no look":            func(c *Config) { c.Look = nil },
		"no peer address":    func(c *Config) { c.PeerAddress = netip.Addr{} },
		"a zone":             func(c *Config) { c.PeerAddress = netip.MustParseAddr("fe80::1%tun0") },
		"no keepalive":       func(c *Config) { c.Keepalive = 0 },
		"short dead_after":   func(c *Config) { c.DeadAfter = 1999 * time.Millisecond },
		"nobody to add them": func(c *Config) { c.Addresses = prefixes("10.8.0.1/24") },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// After a sleep it counts for how long the peer was not heard, timers or not, and it is asked
// at once. Without a probe the interface decides alone.
func TestSleep(t *testing.T) {
	for name, c := range map[string]struct {
		sleep time.Duration
		ping  bool
		want  []string
	}{
		"long":            {3 * time.Hour, true, []string{"10ms up", "2.5s down: no reply to pings from 10.8.0.2 for 3s", "2.51s up"}},
		"short":           {time.Second, true, []string{"10ms up"}},
		"without a probe": {3 * time.Hour, false, []string{"0s up"}},
	} {
		t.Run(name, func(t *testing.T) {
			slept := time.Duration(0)
			now := func() time.Time { return time.Now().Add(slept) }
			play(t, Config{Ping: c.ping, Now: now}, func(s *stage) {
				s.sight, s.answers = working(3), true
				s.wait(2500 * time.Millisecond)
				slept = c.sleep
				s.link.Wake()
				s.wait(10 * time.Millisecond)
				s.expect(t, c.want...)
				s.wait(10 * time.Second)
				s.expect(t)
			})
		})
	}
}

// TestABusyKernelIsNoDeadPeer has looking at the interface take longer than DeadAfter: the peer answers when
// it is asked, so the tunnel stays up. When it does not it is down, a little later than otherwise.
func TestABusyKernelIsNoDeadPeer(t *testing.T) {
	play(t, Config{Ping: true}, func(s *stage) {
		s.sight, s.answers = working(7), true
		s.wait(1500 * time.Millisecond)
		s.expect(t, "10ms up")
		for _, busy := range []time.Duration{2900 * time.Millisecond, 3100 * time.Millisecond, 10 * time.Second} {
			s.busy = busy
			s.wait(3 * busy)
			s.busy = 0
			s.wait(busy + 1500*time.Millisecond)
			s.expect(t)
		}
		s.busy, s.answers = 10*time.Second, false
		s.wait(time.Minute)
		if len(s.events) != 1 || !strings.Contains(s.events[0], "down: no reply to pings") {
			t.Errorf("events %q, want that it is down", s.events)
		}
	})
}

// An interface of WireGuard without an endpoint waits for the peer, which is no error of anybody's.
func TestFarEndIsNotKnownYet(t *testing.T) {
	play(t, Config{Ping: true}, func(s *stage) {
		s.sight, s.unsent = working(3), &net.OpError{Op: "write", Err: os.NewSyscallError("sendto", unix.EDESTADDRREQ)}
		s.wait(1500 * time.Millisecond)
		s.status(t, tunnel.StateConnecting, "interface tun0 does not know where its far end is: it waits for the peer to come")
		s.unsent, s.answers = nil, true
		s.wait(time.Second)
		s.expect(t, "2.01s up")
	})
}
