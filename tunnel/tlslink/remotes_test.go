package tlslink

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// place is a server with the keys of the peer, or a path to it.
func (e *end) place() netip.AddrPort { return netip.MustParseAddrPort(e.addr()) }

// names has a link look up names that a test makes.
func (e *end) names(of map[string][]netip.AddrPort) {
	e.resolver = func(_ context.Context, _, remote string) ([]netip.AddrPort, error) {
		if a, err := netip.ParseAddrPort(remote); err == nil {
			return []netip.AddrPort{a}, nil
		}
		if as, ok := of[remote]; ok {
			return as, nil
		}
		return nil, errors.New("no such name")
	}
}

// servers are routers that have the keys of one peer.
func servers(t *testing.T, n int) (all []*end) {
	for i := range n {
		s := newEnd(t, Config{Identity: [32]byte{byte(10 + i)}}, "client")
		s.start(secretTrust(0))
		all = append(all, s)
	}
	return all
}

func client(t *testing.T) *end { return newEnd(t, Config{Identity: [32]byte{1}}, "server") }

// An address that takes connections and says nothing does not keep the others of its name from
// being tried beside it, nor the next remote.
func TestMuteAddressDelaysNobody(t *testing.T) {
	t.Parallel()
	mute := newMute(t)
	s, c := servers(t, 1)[0], client(t)
	c.cfg.ConnectTimeout = time.Minute // so that only the stagger moves on
	c.names(map[string][]netip.AddrPort{"both:1": {netip.MustParseAddrPort(mute.addr()), s.place()}})
	c.start(secretTrust(0), "both:1")
	if ev := c.waitEvents(1)[0]; ev.Remote != s.place() {
		t.Errorf("%+v", ev)
	}
	c2 := client(t)
	c2.cfg.ConnectTimeout = 100 * time.Millisecond
	c2.start(secretTrust(0), mute.addr(), s.addr())
	if ev := c2.waitEvents(1)[0]; ev.Remote != s.place() {
		t.Errorf("%+v", ev)
	}
}

// A path that is slower than connect_timeout carries the tunnel all the same where it is the only
// one that does.
func TestSlowPathBesideADeadOne(t *testing.T) {
	t.Parallel()
	s, c := servers(t, 1)[0], client(t)
	via := newSlowProxy(t, s.addr(), 200*time.Millisecond)
	mute := newMute(t)
	c.cfg.ConnectTimeout = 100 * time.Millisecond
	c.start(secretTrust(0), mute.addr(), via.addr())
	c.waitEvents(1)
}

// A server whose session dies is left for the next, and is not the first to be tried while it is
// remembered as bad. If all are bad they are tried all the same.
func TestDeadServerIsLeft(t *testing.T) {
	t.Parallel()
	s := servers(t, 2)
	first, second := newProxy(t, s[0].addr()), newProxy(t, s[1].addr())
	c := client(t)
	c.cfg.DeadAfter = shortLife
	c.start(secretTrust(0), first.addr(), second.addr())
	if ev := c.waitEvents(1)[0]; ev.Remote.String() != first.addr() {
		t.Fatalf("%+v", ev)
	}
	first.silence() // connections come up no more, and it does not say so
	evs := c.waitEvents(3)
	if evs[1].Up || !strings.Contains(evs[1].Reason, "no sign of life") || evs[2].Remote.String() != second.addr() {
		t.Fatalf("%+v", evs[1:])
	}
	first.heal()
	second.cut()
	evs = c.waitEvents(5)
	if evs[4].Remote.String() != second.addr() && evs[4].Remote.String() != first.addr() {
		t.Fatalf("%+v", evs[3:])
	}
	exchangePackets(t, c, map[string]*end{first.addr(): s[0], second.addr(): s[1]}[evs[4].Remote.String()])
}

// How long an address that fails again is left for the last depends on how long the session was there: that it was elsewhere for hours
// before is not to its credit.
func TestPenaltyCountsTheTimeAtTheRemote(t *testing.T) {
	for name, c := range map[string]struct {
		there time.Duration
		bad   bool // after as long as the first penalty, and half of the second
	}{
		"soon again":     {10 * time.Second, true},
		"it lasted long": {2 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := stillLink(t)
			for range 2 {
				now := time.Now()
				s.began, s.there = now.Add(-3*time.Hour), now.Add(-c.there)
				l.leave(s, errors.New("test"))
			}
			if bad := l.book.IsBad(s.remote, time.Now().Add(15*time.Second)); bad != c.bad {
				t.Errorf("bad: %v", bad)
			}
		})
	}
}

// A router that the tunnel's other transport is carried to is dialed before all others, bad as it may be: the session ended, as a
// connection did, but the router is there. Where it does not answer the others are tried.
func TestOtherTransportsRouterIsTriedFirst(t *testing.T) {
	t.Parallel()
	s := servers(t, 3)
	first, second := newProxy(t, s[0].addr()), newProxy(t, s[1].addr())
	at := netip.MustParseAddrPort(second.addr())
	c := client(t)
	c.start(secretTrust(0), first.addr(), second.addr(), s[2].addr())
	if ev := c.waitEvents(1)[0]; ev.Remote.String() != first.addr() {
		t.Fatalf("%+v", ev)
	}
	c.link.TryFirst(at)
	first.cut()
	if evs := c.waitEvents(3); evs[2].Remote != at {
		t.Fatalf("%+v", evs[1:])
	}
	second.drop()
	if evs := c.waitEvents(5); evs[4].Remote != at {
		t.Fatalf("though its session has just ended: %+v", evs[3:])
	}
	second.cut()
	if evs := c.waitEvents(7); evs[6].Remote == at {
		t.Errorf("%+v", evs[5:])
	}
}

// In random order not always the same server is the first.
func TestRandomOrder(t *testing.T) {
	t.Parallel()
	s := servers(t, 2)
	found := make(map[netip.AddrPort]bool)
	for i := 0; len(found) < 2; i++ {
		if i == 60 { // the chance of that is 2^-59
			t.Fatalf("only %v was taken", found)
		}
		c := client(t)
		c.cfg.RandomOrder = true
		c.start(secretTrust(0), s[0].addr(), s[1].addr())
		found[c.waitEvents(1)[0].Remote] = true
		c.halt(nil)
	}
}

// The first remote takes over when it is there again: with the router that the session is with, no
// packet is lost and nothing goes down; another one gets a session of its own.
func TestReturnToFirst(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"same router": 1, "another": 2} {
		t.Run(name, func(t *testing.T) {
			s := servers(t, n)
			first := newProxy(t, s[0].addr())
			first.cut()
			c := client(t)
			c.cfg.ReturnToFirst = true
			c.homeward = &homeward{every: 50 * time.Millisecond, proof: 200 * time.Millisecond}
			c.start(secretTrust(0), first.addr(), s[n-1].addr())
			if ev := c.waitEvents(1)[0]; ev.Remote != s[n-1].place() {
				t.Fatalf("%+v", ev)
			}
			s[n-1].waitEvents(1)
			stop := make(chan struct{})
			var sent atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case c.dev.queues[0] <- marked(packet(100, byte(i))):
						sent.Add(1)
						time.Sleep(time.Millisecond)
					}
				}
			}()
			first.heal()
			poll(t, func() bool { return c.link.Status().Remote.String() == first.addr() },
				func() string { return "the first does not take over" })
			if n == 2 {
				evs := c.waitEvents(3)
				if evs[1].Up || evs[1].Reason != errReturning.Error() || !evs[2].Up || evs[2].Peer != [32]byte{10} {
					t.Errorf("%+v", evs[1:])
				}
				close(stop)
				<-done
				s[1].waitEvents(2)
				return
			}
			for now := sent.Load(); sent.Load() < now+200; time.Sleep(time.Millisecond) {
			}
			close(stop)
			<-done
			if got := s[0].waitWritten(int(sent.Load())); len(got) != int(sent.Load()) {
				t.Errorf("%d of %d arrived", len(got), sent.Load())
			}
			if evs := slices.Concat(c.seen(), s[0].seen()); len(evs) != 2 {
				t.Errorf("%+v", evs)
			}
			session := c.link.routes[0].Load().s
			c.halt(nil)
			if !session.there.After(session.began) {
				t.Error("the session has been there since it began")
			}
		})
	}
}

func newSlowProxy(t *testing.T, to string, delay time.Duration) *proxy {
	p := newProxy(t, to)
	p.delay.Store(int64(delay))
	return p
}

// silence has the path swallow everything, of new connections too; cut refuses these, and
// ends those that there are, which is all that drop does; heal ends that.
func (p *proxy) silence() { p.frozen.Store(true) }

func (p *proxy) cut() {
	p.refuse.Store(true)
	p.drop()
}

func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}

func (p *proxy) heal() { p.refuse.Store(false); p.frozen.Store(false) }

// The name servers are behind the line that is lost, or behind the tunnel: the peer is dialed where it was.
func TestDialsWithoutNameServers(t *testing.T) {
	t.Parallel()
	s, c := servers(t, 1)[0], client(t)
	way := newProxy(t, s.addr())
	var dead atomic.Bool
	c.resolver = func(context.Context, string, string) ([]netip.AddrPort, error) {
		if dead.Load() {
			return nil, errors.New("the DNS does not answer")
		}
		return []netip.AddrPort{netip.MustParseAddrPort(way.addr())}, nil
	}
	c.start(secretTrust(0), "server:1")
	c.waitEvents(1)
	dead.Store(true)
	way.cut()
	c.waitEvents(2)
	way.heal()
	c.waitEvents(3)
}
