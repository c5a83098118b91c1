package protocol

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// restart has an end begin again with the same keys, and what it is configured with.
func (n *network) restart(e *end, c PeerConfig) {
	n.t.Helper()
	c.PublicKey = n.other(e).m.PublicKey()
	again := newEnd(n.t, e.m.me.private, c, e.addr)
	e.m, e.p = again.m, again.p
}

// A peer whose clock was an hour fast, and is right after it was started anew, has a
// session at once: the other end, which refuses its initiations, begins a handshake.
func TestClockThatWasFast(t *testing.T) {
	for name, addr := range map[string]netip.AddrPort{
		"at its endpoint": addrA,
		"at another port": netip.AddrPortFrom(addrA.Addr(), 4321),
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			n.a.ahead = time.Hour
			n.handshake(n.a)
			n.pass(30 * time.Second)
			n.a.ahead, n.a.addr = 0, addr
			n.restart(n.a, PeerConfig{Endpoint: addrB})
			sent := len(n.log)
			n.a.p.Initiate(n.now)
			n.settle()
			n.exchange(1)
			s := n.b.p.Status(n.now)
			if !s.Initiator || s.Endpoint != addr || s.Stale != n.now || s.Behind < 59*time.Minute || s.Behind > time.Hour {
				t.Errorf("the end that refuses: %+v", s)
			}
			if got := len(n.log) - sent; got > 20 {
				t.Errorf("%d messages", got)
			}

			// When the time is reached that the clock had, all is as ever.
			n.pass(time.Hour)
			n.handshake(n.a)
			if s := n.b.p.Status(n.now); s.Initiator || s.Behind != 0 || !s.Stale.IsZero() {
				t.Errorf("an hour later: %+v", s)
			}
		})
	}
}

// Where the peer is somewhere else as well, it cannot be told from who repeats what was
// recorded: it is looked for where it was.
func TestClockThatWasFastElsewhere(t *testing.T) {
	n := newNetwork(t)
	n.a.ahead = time.Hour
	n.handshake(n.a)
	n.pass(30 * time.Second)
	n.a.ahead = 0
	n.restart(n.a, PeerConfig{Endpoint: addrB})
	n.a.p.Initiate(n.now)
	msg := n.a.p.Tick(n.now)[0]
	if r := n.b.m.Receive(n.now, elsewhere, msg); r.Reply != nil || !errors.Is(r.Err, errStale) || r.Peer != nil {
		t.Errorf("%+v", r)
	}
	out := n.b.p.Tick(n.now)
	if s := n.b.p.Status(n.now); len(out) != 1 || !IsInitiation(out[0]) || s.Endpoint != addrA {
		t.Errorf("%x to %v", out, s.Endpoint)
	}
}

// Our own clock may be put back while we run. Our initiations stay acceptable.
func TestOwnClockPutBack(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	later := newTimestamp(n.now.Add(time.Hour))
	n.a.p.stamped, n.b.p.ways[0].latest = later, later
	for range 100 {
		n.pass(rekeyTimeout)
		n.handshake(n.a)
		if s := n.b.p.Status(n.now); s.Initiator || len(n.b.errs) > 0 {
			t.Fatalf("%+v, %v", s, n.b.errs)
		}
	}
}

// Who repeats an initiation that was recorded makes this end begin no more than a
// handshake a minute while the session works, one in 5 s while it does not, and none but
// with the peer.
func TestReplayedOldInitiation(t *testing.T) {
	for name, tc := range map[string]struct {
		from    netip.AddrPort
		working bool
		atMost  int // handshakes in ten minutes
	}{
		"from elsewhere":                   {elsewhere, true, 10},
		"with the peer's address":          {addrA, true, 10},
		"with another port of the peer's":  {netip.AddrPortFrom(addrA.Addr(), 9), true, 10},
		"while the peer is gone":           {elsewhere, false, 120},
		"as if from it, while it is gone":  {addrA, false, 120},
		"with another port, while it's so": {netip.AddrPortFrom(addrA.Addr(), 9), false, 120},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, func(a, b *PeerConfig) { a.Keepalive, b.Keepalive = time.Second, time.Second })
			n.handshake(n.a)
			recorded := bytes.Clone(n.log[0])
			n.pass(10 * time.Second)
			n.handshake(n.a)
			initiations := 0
			n.lose = func(from *end, msg []byte) bool {
				if from == n.b && IsInitiation(msg) {
					initiations++
				}
				return !tc.working
			}
			for range 1200 {
				n.pass(time.Second / 2)
				r := n.b.m.Receive(n.now, tc.from, bytes.Clone(recorded))
				if r.Peer != nil || !errors.Is(r.Err, errStale) {
					t.Fatalf("%+v", r)
				}
				if r.Reply != nil && tc.from.Addr() != addrA.Addr() {
					t.Fatal("it is answered to where it came from")
				}
				if r.Reply != nil {
					initiations++
				}
				if got := n.b.p.Status(n.now).Endpoint; got != addrA {
					t.Fatalf("it moved the peer to %v", got)
				}
				if tc.working {
					n.exchange(1)
				}
			}
			if initiations == 0 || initiations > tc.atMost+10 { // with those of each two minutes
				t.Errorf("%d initiations", initiations)
			}
		})
	}
}

func TestTimestampArithmetic(t *testing.T) {
	at := newTimestamp(start.Add(time.Second - 1))
	for range 200 {
		next := at.next()
		if d := next.since(&at); !next.after(&at) || d <= 0 || d > 2*coarse || at.since(&next) < 0 {
			t.Fatalf("%x after %x: %v", next, at, d)
		}
		at = next
	}
	early, late := timestamp{}, timestamp{0: 0xff, 8: 0xff}
	if early.since(&late) < 0 || late.since(&early) < 0 {
		t.Error("a hostile timestamp gives a negative time")
	}
	one, two := newTimestamp(start), newTimestamp(start.Add(90*time.Minute))
	if got := two.since(&one); got != 90*time.Minute {
		t.Error(got)
	}
}
